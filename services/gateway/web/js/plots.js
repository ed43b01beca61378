// Plots that follow the size of their place and the theme.

/**
 * Draws into `plot` with `make()`, which returns a uPlot, and again when the theme changes. It ends when `plot` is
 * removed from the page, or with `ended`.
 * @param {HTMLElement} plot
 * @param {() => uPlot} make
 * @param {AbortSignal} ended
 */
export function plotted(plot, make, ended) {
  /** @type {uPlot | null} */
  let drawn = null;
  const own = new AbortController();
  const end = () => { own.abort(); resized.disconnect(); drawn?.destroy(); };
  const paint = () => {
    drawn?.destroy();
    drawn = plot.clientWidth ? make() : null;
  };
  const resized = new ResizeObserver(() => { // also called when it is removed
    if (!plot.isConnected) end();
    else if (drawn) drawn.setSize(sizeOf(plot));
    else paint();
  });
  resized.observe(plot);
  addEventListener("theme", paint, { signal: own.signal });
  ended.addEventListener("abort", end, { signal: own.signal });
  paint();
}

/** @param {Element} plot */
export const sizeOf = (plot) => ({ width: Math.max(plot.clientWidth, 100), height: plot.clientHeight });
