// Jobs per second, computed from consecutive samples, as numbers and as a line.
import { colorsOf } from "./colors.js";
import { el } from "./dom.js";
import { atMinute, brief } from "./format.js";

/** @typedef {{at: number, attempts: Record<string, number>}} Sample attempts by job */

const KEEP = 150; // five minutes of samples

export class Throughput {
  plot = el("div", { class: "plot", role: "img", "aria-label": "Jobs per second, since this page was opened" });
  /**
   * The rate of all jobs together; null until there are two samples.
   * @type {number | null}
   */
  rate = null;
  /** @type {Sample | null} */
  #before = null;
  /** @type {number[]} */
  #times = [];
  /** @type {number[]} */
  #rates = [];
  /** @type {uPlot | null} */
  #drawn = null;

  constructor() {
    new ResizeObserver(() => this.#drawn?.setSize(this.#size())).observe(this.plot);
    addEventListener("theme", () => { this.#drawn?.destroy(); this.#drawn = null; this.#draw(); });
  }

  /**
   * The rate of each job by its name.
   * @param {{at: string, jobs: JobStatus[]}} seen
   * @returns {Record<string, number>}
   */
  take({ at, jobs }) {
    const now = { at: /** @type {any} */ (new Date(at)) / 1000, attempts: Object.fromEntries(jobs.map((each) => [each.job, each.attempts])) };
    const rates = this.#before && now.at > this.#before.at ? difference(this.#before, now) : null;
    if (rates) {
      this.rate = Object.values(rates).reduce((a, b) => a + b, 0);
      this.#times.push(now.at);
      this.#rates.push(this.rate);
      if (this.#times.length > KEEP) { this.#times.shift(); this.#rates.shift(); }
      this.#draw();
    }
    this.#before = now;
    return rates ?? {};
  }

  #size = () => ({ width: Math.max(this.plot.clientWidth, 100), height: this.plot.clientHeight });

  #draw() {
    if (!this.plot.isConnected || !this.#times.length) return;
    const data = [this.#times, this.#rates];
    if (this.#drawn) { this.#drawn.setData(data); return; }
    const style = getComputedStyle(this.plot);
    const color = colorsOf(this.plot);
    const axis = { stroke: color("--muted"), font: `12px ${style.fontFamily}`, ticks: { show: false }, grid: { stroke: color("--line"), width: 1 } };
    this.#drawn = new uPlot({
      ...this.#size(),
      padding: [8, 20, 0, 0],
      legend: { show: false },
      cursor: { show: false },
      scales: {
        x: { time: true, range: (_, __, max) => [max - KEEP * 2, max] },
        y: { range: (_, __, max) => [0, Math.max(max * 1.1, 1)] },
      },
      axes: [{ ...axis, grid: { show: false }, size: 30, incrs: [60], space: 50, values: (_, splits) => splits.map((at) => atMinute(at * 1000)) }, { ...axis, size: 50, space: 36, values: (_, splits) => splits.map(brief) }],
      series: [{}, { stroke: color("--accent"), width: 2, points: { show: false } }],
    }, data, this.plot);
  }
}

/**
 * A restarted worker counts from zero: its rate is computed from there.
 * @param {Sample} before
 * @param {Sample} now
 */
function difference(before, now) {
  const seconds = now.at - before.at;
  return Object.fromEntries(Object.entries(now.attempts).map(([job, attempts]) => {
    const since = before.attempts[job] ?? 0;
    return [job, (attempts >= since ? attempts - since : attempts) / seconds];
  }));
}
