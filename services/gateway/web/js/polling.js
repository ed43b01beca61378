// Repeats a request while the page is visible.

/**
 * Calls `ask` now, and again `everyMs` after it has ended, until `ended` is aborted. While the page is hidden it
 * waits.
 * @param {() => unknown} ask
 * @param {number} everyMs
 * @param {AbortSignal} ended
 * @returns {() => Promise<void>} A function that calls `ask` at once.
 */
export function poll(ask, everyMs, ended) {
  let timer = 0;
  const run = async () => {
    clearTimeout(timer);
    await ask();
    clearTimeout(timer); // of a call that began and ended meanwhile
    if (!document.hidden && !ended.aborted) timer = setTimeout(run, everyMs);
  };
  ended.addEventListener("abort", () => clearTimeout(timer));
  document.addEventListener("visibilitychange", () => { if (!document.hidden) run(); }, { signal: ended });
  run();
  return run;
}
