// The last hour of the jobs, by minute: a chart of the attempts, one of their duration, and both as a table.
import { get, Problem } from "./api.js";
import { colorsOf } from "./colors.js";
import { el, replace } from "./dom.js";
import { atMinute, brief, count, duration } from "./format.js";
import { historyAddress } from "./job-addresses.js";
import { plotted, sizeOf } from "./plots.js";
import { poll } from "./polling.js";

/** @import { Child } from "./dom.js" */
/** @typedef {"done" | "retried" | "failed"} Outcome */
/** @typedef {Omit<JobMinute, "at"> & {at: number}} Minute */

const EVERY_MS = 10_000;
const MINUTE_MS = 60_000;
const MINUTES = 60;
/**
 * Each outcome with its color and its title; the first is at the bottom of the chart.
 * @type {[Outcome, string, string][]}
 */
const OUTCOMES = [["done", "--accent", "Done"], ["retried", "--warn", "Retried"], ["failed", "--bad", "Failed"]];

export class History {
  #ended = new AbortController();
  #drawn = new AbortController();
  #job = "";
  #shown = "";
  #tabs = el("nav", { class: "job-tabs", "aria-label": "Jobs" });
  #body = el("div", { class: "ops" }, el("p", { class: "empty whole" }, "Loading…"));
  /** @type {(() => Promise<void>) | null} */
  #ask = null;

  /** @param {Element} place */
  constructor(place) {
    place.replaceChildren(el("div", { class: "greeting" }, el("h1", {}, "The last hour")), this.#tabs, this.#body);
  }

  close() {
    this.#ended.abort();
    this.#drawn.abort();
  }

  /**
   * Shows one job, or all of them.
   * @param {URLSearchParams} query
   */
  show(query) {
    this.#job = query.get("job") ?? "";
    this.#shown = "";
    if (this.#ask) this.#ask();
    else this.#ask = poll(() => this.#refresh(), EVERY_MS, this.#ended.signal);
  }

  async #refresh() {
    try {
      /** @type {JobHistories} */
      const { until, items } = await get("/v1/admin/jobs/history", { signal: this.#ended.signal });
      const now = JSON.stringify([this.#job, until, items]);
      if (now === this.#shown) return;
      this.#shown = now;
      this.#show(new Date(until).getTime(), items);
    } catch (problem) {
      if (this.#ended.signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      if (!this.#shown) replace(this.#body, el("p", { class: "form-error whole" }, problem.message));
    }
  }

  /**
   * @param {number} until
   * @param {JobHistory[]} items
   */
  #show(until, items) {
    this.#drawn.abort();
    this.#drawn = new AbortController();
    const { signal } = this.#drawn;
    const names = [...new Set([...items.map(({ job }) => job), ...(this.#job ? [this.#job] : [])])].sort();
    replace(this.#tabs, ["", ...names].map((job) => el("a", {
      href: historyAddress(job), "data-key": `history-${job}`, "aria-current": job === this.#job ? "page" : null }, job || "All jobs")));
    const shown = items.filter(({ job }) => !this.#job || job === this.#job);
    const minutes = byMinute(until, shown);
    const attempts = plot("attempts");
    const durations = this.#job && plot("durations");
    replace(this.#body,
      card("Attempts per minute", attempts, legend(minutes)),
      durations && card("Median duration", durations),
      card(this.#job ? "By minute" : "By job", this.#job ? minuteTable(minutes) : jobTable(items)));
    attempts.ariaLabel = `Attempts per minute in the last hour; the table has the numbers`;
    plotted(attempts, () => attemptsChart(attempts, minutes), signal);
    if (!durations) return;
    durations.ariaLabel = `Median duration in the last hour; the table has the numbers`;
    plotted(durations, () => durationsChart(durations, minutes), signal);
  }
}

/**
 * Shows the attempts of all jobs in `place`, and again for each new answer; `ended` removes it.
 * @param {HTMLElement} place
 * @param {JobHistories} answer
 * @param {AbortSignal} ended
 */
export function attemptsPlot(place, { until, items }, ended) {
  const minutes = byMinute(new Date(until).getTime(), items);
  const key = JSON.stringify(minutes);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  const drawn = plot("attempts");
  drawn.ariaLabel = `Attempts per minute in the last hour: ${OUTCOMES.map(([name, , title]) => `${title} ${count(sum(minutes, name))}`).join(", ")}`;
  replace(place, drawn, legend(minutes));
  plotted(drawn, () => attemptsChart(drawn, minutes), ended);
}

/** @param {string} key */
const plot = (key) => el("div", { class: "plot", role: "img", "data-plot": key });
/**
 * @param {string} title
 * @param {...Child} content
 */
const card = (title, ...content) => el("section", { class: "card whole", "aria-label": title },
  el("div", { class: "card-head" }, el("h2", {}, title)), content);

/**
 * All 60 minutes, the oldest first; those of several jobs are added up, and then have no median.
 * @param {number} until
 * @param {JobHistory[]} jobs
 * @returns {Minute[]}
 */
function byMinute(until, jobs) {
  /** @type {Map<number, Minute>} */
  const known = new Map();
  for (const { minutes } of jobs) {
    for (const minute of minutes) {
      const at = new Date(minute.at).getTime();
      const before = known.get(at);
      known.set(at, before ? added(before, minute) : { ...minute, at });
    }
  }
  const times = Array.from({ length: MINUTES }, (_, index) => until - (MINUTES - 1 - index) * MINUTE_MS);
  return times.map((at) => known.get(at) ?? { at, done: 0, retried: 0, failed: 0, median_ms: null });
}

/**
 * @param {Minute} one
 * @param {Record<Outcome, number>} other
 * @returns {Minute}
 */
const added = (one, other) => ({
  at: one.at, median_ms: null, .../** @type {Record<Outcome, number>} */ (Object.fromEntries(OUTCOMES.map(([name]) => [name, one[name] + other[name]]))) });

/**
 * @param {Minute[]} rows
 * @param {Outcome} name
 */
const sum = (rows, name) => rows.reduce((all, each) => all + each[name], 0);

/** @param {Minute[]} minutes */
const legend = (minutes) => el("ul", { class: "legend" }, OUTCOMES.map(([name, , title]) =>
  el("li", { class: `of-${name}` }, `${title} `, el("strong", {}, count(sum(minutes, name))))));

/** @param {number} value */
const cell = (value) => el("td", { class: `right${value ? "" : " zero"}`, title: value > 99_999 ? count(value) : null }, brief(value));
/** @param {Record<Outcome, number>} row */
const outcomes = (row) => OUTCOMES.map(([name]) => cell(row[name]));
/** @param {{median_ms: number | null}} row */
const median = ({ median_ms: ms }) => el("td", { class: `right${ms === null ? " zero" : ""}` }, ms === null ? "–" : duration(ms));
const TITLES = [...OUTCOMES.map(([, , title]) => title), "Median"];

/**
 * @param {string} label
 * @param {string} first
 * @param {Child} rows
 */
function table(label, first, rows) {
  return el("div", { class: "scroll minutes", tabindex: "0", role: "group", "aria-label": label, "data-key": "history-table" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { scope: "col" }, first), TITLES.map((title) => el("th", { scope: "col", class: "right" }, title)))),
    el("tbody", {}, rows)));
}

/** @param {JobHistory[]} items */
function jobTable(items) {
  if (!items.length) return el("p", { class: "empty" }, "No job was attempted in the last hour.");
  return table("By job", "Job", items.map((each) => el("tr", {},
    el("td", {}, el("a", { href: historyAddress(each.job), "data-key": `row-${each.job}` }, each.job)), outcomes(each), median(each))));
}

/** @param {Minute[]} minutes */
function minuteTable(minutes) {
  const rows = minutes.filter((each) => OUTCOMES.some(([name]) => each[name]) || each.median_ms !== null).reverse();
  if (!rows.length) return el("p", { class: "empty" }, "This job was not attempted in the last hour.");
  return table("By minute", "Minute", rows.map((each) => el("tr", {}, el("td", {}, atMinute(each.at)), outcomes(each), median(each))));
}

/**
 * @param {HTMLElement} place
 * @param {Minute[]} minutes
 */
function attemptsChart(place, minutes) {
  const color = colorsOf(place);
  const stacked = OUTCOMES.map((_, index) => minutes.map((each) => OUTCOMES.slice(0, index + 1).reduce((all, [name]) => all + each[name], 0)));
  const paths = uPlot.paths.bars({ size: [0.7, 24] });
  const series = OUTCOMES.map(([, name]) => ({ paths, fill: color(name), width: 0, points: { show: false } })).reverse();
  return chart(place, minutes, stacked.reverse(), series, brief);
}

/**
 * @param {HTMLElement} place
 * @param {Minute[]} minutes
 */
function durationsChart(place, minutes) {
  const values = minutes.map((each) => each.median_ms);
  const series = [{ stroke: colorsOf(place)("--accent"), width: 2, points: { show: true, size: 4 } }];
  return chart(place, minutes, [values], series, duration);
}

/**
 * @param {HTMLElement} place
 * @param {Minute[]} minutes
 * @param {(number | null)[][]} rows
 * @param {PlotSeries[]} series
 * @param {(value: number) => string} words
 */
function chart(place, minutes, rows, series, words) {
  const color = colorsOf(place);
  const axis = { stroke: color("--muted"), font: `12px ${getComputedStyle(place).fontFamily}`, ticks: { show: false } };
  const every = () => (place.clientWidth < 500 ? 20 : 10);
  return new uPlot({
    ...sizeOf(place),
    padding: [12, 20, 0, 0],
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: () => [-0.6, MINUTES - 0.4] }, y: { range: (_, __, max) => [0, Math.max(max, 1) * 1.08] } },
    axes: [
      { ...axis, grid: { show: false }, size: 30,
        splits: () => minutes.map((_, index) => index).filter((index) => (MINUTES - 1 - index) % every() === 0),
        values: (_, splits) => splits.map((index) => atMinute(minutes[index].at)) },
      { ...axis, grid: { stroke: color("--line"), width: 1 }, size: 64, space: 40, values: (_, splits) => splits.map(words) },
    ],
    series: [{}, ...series],
  }, [minutes.map((_, index) => index), ...rows], place);
}
