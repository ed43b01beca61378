// The status in large figures and without controls, for a screen on a wall. It is read again every two seconds.
import { get, Problem } from "./api.js";
import { el, replace } from "./dom.js";
import { offers } from "./features.js";
import { atClock, brief, duration, plural } from "./format.js";
import { attemptsPlot } from "./history.js";
import { Throughput } from "./throughput.js";
import { poll } from "./polling.js";

const EVERY_MS = 2000;
const HISTORY_EVERY_MS = 10_000;
const WORKERS_EVERY_MS = 5000;
const LATE_MS = 10_000;
const MOST_PROBLEMS = 5;
const HAS_JOBS = offers("GET /v1/admin/jobs");

/** Whether the address asks for it: `/ops?wall`. */
export const isWall = () => new URLSearchParams(location.search).has("wall");

export class Wall {
  #ended = new AbortController();
  #throughput = new Throughput();
  #verdict = el("div", { class: "verdict unsure", role: "status" }, "Asking…");
  #figures = el("dl", { class: "wall-figures" });
  #chart = el("div", { class: "wall-chart" });
  #processes = el("ul", { class: "wall-processes", "aria-label": "Processes" });
  #time = el("p", { class: "wall-time muted" });
  /** @type {SystemStatus | null} */
  #seen = null;
  #answeredAt = Date.now();
  /** @type {WorkerProcess[] | null} */
  #workers = null;

  /** @param {Element} place */
  constructor(place) {
    document.body.classList.add("wall");
    const leave = el("a", { class: "skip", href: "/ops" }, "Leave wall mode");
    place.replaceChildren(leave, el("h1", { class: "hidden-text" }, "Operations"), this.#verdict, this.#figures, this.#chart, this.#processes, this.#time);
    const { signal } = this.#ended;
    poll(() => this.#read(), EVERY_MS, signal);
    if (offers("GET /v1/admin/jobs/history")) poll(() => this.#readHistory(), HISTORY_EVERY_MS, signal);
    if (offers("GET /v1/admin/workers")) poll(() => this.#readWorkers(), WORKERS_EVERY_MS, signal);
  }

  close() {
    this.#ended.abort();
    document.body.classList.remove("wall");
  }

  async #read() {
    try {
      this.#seen = /** @type {SystemStatus} */ (await get("/v1/admin/status", { signal: this.#ended.signal }));
      this.#answeredAt = Date.now();
      this.#throughput.take(this.#seen);
      this.#show();
    } catch (problem) {
      if (this.#ended.signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      if (Date.now() - this.#answeredAt > LATE_MS || !this.#seen) this.#say("verdict ill", `No answer since ${atClock(new Date(this.#answeredAt))}`, []);
    }
  }

  async #readHistory() {
    const found = await this.#optional("/v1/admin/jobs/history");
    if (found) attemptsPlot(this.#chart, found, this.#ended.signal);
  }

  async #readWorkers() {
    const found = await this.#optional("/v1/admin/workers");
    if (found) this.#workers = found.items;
  }

  /**
   * What is only an addition: without an answer, the last one stays.
   * @param {string} path
   */
  async #optional(path) {
    try {
      return await get(path, { signal: this.#ended.signal });
    } catch (problem) {
      if (!this.#ended.signal.aborted && !(problem instanceof Problem)) throw problem;
      return null;
    }
  }

  #show() {
    const { problems, processes, at } = /** @type {SystemStatus} */ (this.#seen);
    this.#say(problems.length ? "verdict ill" : "verdict", problems.length ? plural(problems.length, "problem") : "No problems", firstOf(problems));
    replace(this.#figures, figures(/** @type {SystemStatus} */ (this.#seen), this.#throughput.rate, this.#workers));
    replace(this.#processes, processes.map(({ name, status }) => el("li", { class: `chip ${status === "ready" ? "good" : "bad"}` }, status === "ready" ? name : `${name}: ${status}`)));
    this.#time.textContent = `As of ${atClock(new Date(at))}`;
  }

  /**
   * Changes the text only if it differs: screen readers announce each change.
   * @param {string} look
   * @param {string} text
   * @param {string[]} problems
   */
  #say(look, text, problems) {
    const key = [look, text, ...problems].join("\n");
    if (this.#verdict.dataset.key === key) return;
    this.#verdict.dataset.key = key;
    this.#verdict.className = look;
    this.#verdict.replaceChildren(el("div", {}, text, problems.length ? el("ul", {}, problems.map((each) => el("li", {}, each))) : ""));
  }
}

/**
 * @param {SystemStatus} seen
 * @param {number | null} rate
 * @param {WorkerProcess[] | null} workers
 */
function figures({ jobs, queues, outboxes, panels, gateway }, rate, workers) {
  /** @type {<Name extends string>(rows: Record<Name, number | null>[], name: Name) => number} */
  const sum = (rows, name) => rows.reduce((all, each) => all + (each[name] ?? 0), 0);
  const slowest = Math.max(...panels.map((each) => each.p95_ms ?? -1), -1);
  const dead = sum(jobs, "dead");
  const alive = /** @type {number} */ (workers?.filter((each) => each.alive).length);
  return [
    ...(HAS_JOBS ? [
      figure("Jobs per second", rate === null ? "–" : rate < 10 ? rate.toFixed(1) : brief(Math.round(rate))),
      figure("Messages waiting", brief(sum(queues, "messages"))),
      figure("In outboxes", brief(sum(outboxes, "rows"))),
      figure("Dead jobs", brief(dead), dead > 0),
      figure("Retrying", brief(sum(jobs, "retrying"))),
    ] : []),
    ...(workers ? [figure("Workers", alive === workers.length ? brief(alive) : `${alive} of ${workers.length}`, alive < workers.length || alive === 0)] : []),
    figure("Slowest panel, p95", slowest < 0 ? "–" : duration(slowest)),
    figure("Live streams", brief(gateway.streams)),
  ];
}

/**
 * A screen on a wall is not scrolled.
 * @param {string[]} problems
 */
const firstOf = (problems) =>
  problems.length > MOST_PROBLEMS ? [...problems.slice(0, MOST_PROBLEMS), `and ${problems.length - MOST_PROBLEMS} more`] : problems;

/**
 * @param {string} label
 * @param {string} value
 * @param {boolean} isBad
 */
const figure = (label, value, isBad = false) => el("div", { class: `tile${isBad ? " ill" : ""}` }, el("dt", {}, label), el("dd", {}, value));
