// The status of the system, read every two seconds while the page is visible.
import { get, Problem } from "./api.js";
import { el, replace } from "./dom.js";
import { failedJobs } from "./failed-jobs.js";
import { offers } from "./features.js";
import { atClock, brief, count, duration } from "./format.js";
import { searchAddress } from "./job-addresses.js";
import { chip } from "./job-parts.js";
import { pauseButton, pausedJobs, pausedMark } from "./paused-jobs.js";
import { poll } from "./polling.js";
import { Throughput } from "./throughput.js";

/** @import { Child } from "./dom.js" */
/** @import { Paused } from "./paused-jobs.js" */

const EVERY_MS = 2000;
const PAUSED_EVERY_MS = 4000;
const LOOK = { ready: "good", degraded: "warn", unavailable: "bad", unreachable: "bad" };
const HAS_JOBS = offers("GET /v1/admin/jobs");
const PAUSING = offers("GET /v1/admin/jobs/paused", "POST /v1/admin/jobs/{job}/pause", "POST /v1/admin/jobs/{job}/resume");
/** @type {Record<ServiceStatus["breaker"], [string, string]>} */
const BREAKER = { closed: ["good", "Closed"], half_open: ["warn", "Half open"], open: ["bad", "Open"] };

export class Overview {
  #ended = new AbortController();
  #status = /** @type {HTMLElement} */ (document.getElementById("live"));
  #throughput = new Throughput();
  #verdict = el("div", { class: "verdict unsure", role: "status" }, "Asking…");
  #tiles = el("dl", { class: "tiles" });
  /** @type {Record<string, HTMLElement>} */
  #places = {};
  /** @type {SystemStatus | null} */
  #seen = null;
  /** @type {Record<string, number>} */
  #rates = {};
  /** @type {Map<string, Paused>} */
  #paused = new Map();
  #isAdmin;
  #askPaused;

  /**
   * @param {Element} place
   * @param {boolean} isAdmin
   */
  constructor(place, isAdmin) {
    this.#isAdmin = isAdmin;
    const scroll = (/** @type {string} */ key, /** @type {string} */ title) => (this.#places[key] = el("div", { class: `scroll ${key}`, tabindex: "0", role: "group", "aria-label": title }));
    const card = (/** @type {string} */ key, /** @type {string} */ title, /** @type {Child[]} */ ...more) => el("section", { class: "card" },
      el("div", { class: "card-head" }, el("h2", {}, title)), ...more, scroll(key, title));
    this.#status.hidden = false;
    place.replaceChildren(
      el("div", { class: "greeting" }, el("h1", {}, "Operations"), el("a", { class: "button small", href: "/ops?wall" }, "Wall mode")),
      this.#verdict, this.#tiles,
      el("div", { class: "ops" },
        offers("GET /v1/admin/jobs/groups") && failedJobs(isAdmin, this.#ended.signal),
        card("processes", "Processes"), card("panels", "Panels, last minute"),
        HAS_JOBS && card("jobs", "Jobs", this.#throughput.plot),
        HAS_JOBS && el("div", { class: "column" }, card("queues", "Queues"), card("outboxes", "Outboxes"))));
    poll(() => this.#ask(), EVERY_MS, this.#ended.signal);
    if (offers("GET /v1/admin/jobs/paused")) this.#askPaused = poll(() => this.#readPaused(), PAUSED_EVERY_MS, this.#ended.signal);
  }

  close() {
    this.#ended.abort();
    this.#status.hidden = true;
  }

  async #ask() {
    try {
      this.#seen = /** @type {SystemStatus} */ (await get("/v1/admin/status", { signal: this.#ended.signal }));
      this.#show(this.#seen);
      this.#say("live", "Live", `As of ${atClock(new Date(this.#seen.at))}`);
    } catch (problem) {
      if (this.#ended.signal.aborted) return;
      this.#say("away", this.#seen ? `As of ${atClock(new Date(this.#seen.at))}` : "No answer", /** @type {Error} */ (problem).message);
    }
  }

  /** Without a response the last one stays. */
  async #readPaused() {
    try {
      this.#paused = await pausedJobs(this.#ended.signal);
    } catch (problem) {
      if (this.#ended.signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
    }
    if (this.#seen) this.#showJobs();
  }

  /**
   * @param {string} state
   * @param {string} words
   * @param {string} title
   */
  #say(state, words, title) {
    if (this.#status.textContent === words && this.#status.dataset.state === state) return;
    this.#status.dataset.state = state;
    this.#status.title = title;
    this.#status.replaceChildren(el("span", { class: "words" }, words));
  }

  /** @param {SystemStatus} seen */
  #show(seen) {
    this.#rates = this.#throughput.take(seen);
    replace(this.#tiles, ...tiles(seen, this.#throughput.rate));
    this.#showVerdict(seen.problems);
    const breakers = Object.fromEntries(seen.services.map((each) => [each.name, each]));
    fill(this.#places.processes, ["Process", "Health", "Breaker", "Calls"], seen.processes, (each) => processRow(each, breakers));
    fill(this.#places.panels, ["Panel", "p50 (ms)", "p95 (ms)", "p99 (ms)", "Calls", "Stale"], seen.panels, panelRow, "No panels.");
    if (!HAS_JOBS) return;
    this.#showJobs();
    fill(this.#places.queues, ["Queue", "Messages", "Consumers"], seen.queues, queueRow, "No worker can reach RabbitMQ.");
    fill(this.#places.outboxes, ["Outbox", "Waiting", "Oldest"], seen.outboxes, outboxRow);
  }

  #showJobs() {
    const mayPause = this.#isAdmin && PAUSING;
    const row = (/** @type {JobStatus} */ each) => [
      ...jobRow(each, this.#rates, this.#paused.get(each.job)),
      ...(mayPause ? [el("td", { class: "right" }, pauseButton(each.job, this.#paused.get(each.job), /** @type {() => void} */ (this.#askPaused)))] : []),
    ];
    const titles = ["Job", "Per second", "Retrying", "Dead", ...(mayPause ? [el("span", { class: "hidden-text" }, "Actions")] : [])];
    fill(this.#places.jobs, titles, /** @type {SystemStatus} */ (this.#seen).jobs, row, "No worker responds.");
  }

  /** @param {string[]} found */
  #showVerdict(found) {
    const text = found.length ? `${found.length} ${found.length === 1 ? "problem" : "problems"}` : "No problems";
    const key = [text, ...found].join("\n");
    if (this.#verdict.dataset.key === key) return; // otherwise screen readers would announce it every two seconds
    this.#verdict.dataset.key = key;
    this.#verdict.className = found.length ? "verdict ill" : "verdict";
    this.#verdict.replaceChildren(el("div", {}, text, found.length ? el("ul", {}, found.map((each) => el("li", {}, each))) : ""));
  }
}

/**
 * @param {SystemStatus} seen
 * @param {number | null} rate
 */
function tiles(seen, rate) {
  /** @type {<Name extends string>(rows: Record<Name, number | null>[], name: Name) => number} */
  const sum = (rows, name) => rows.reduce((all, each) => all + (each[name] ?? 0), 0);
  const { cache_hits: hits, cache_misses: misses, streams, cache_entries: entries } = seen.gateway;
  return [
    ...(HAS_JOBS ? [
      tile("Jobs per second", rate === null ? "–" : rate < 10 ? rate.toFixed(1) : brief(Math.round(rate))),
      tile("Messages waiting", brief(sum(seen.queues, "messages"))),
      tile("In outboxes", brief(sum(seen.outboxes, "rows"))),
      tile("Dead jobs", brief(sum(seen.jobs, "dead")), `${brief(sum(seen.jobs, "retrying"))} retrying`),
    ] : []),
    tile("Live streams", brief(streams), seen.gateway.feed_connected ? "feed connected" : "feed lost"),
    tile("Cache hits", hits + misses ? `${Math.round((100 * hits) / (hits + misses))} %` : "–", `${brief(entries)} kept`),
  ];
}

/**
 * @param {string} label
 * @param {string} value
 * @param {string} [note]
 */
const tile = (label, value, note) => el("div", { class: "tile" }, el("dt", {}, label), el("dd", {}, value, note && el("small", {}, note)));

/**
 * A table; columns except the first are right-aligned if `row` says so. It is replaced only if it has changed, because
 * the focus cannot be moved through controls that are replaced all the time.
 * @template T
 * @param {Element} place
 * @param {Child[]} titles
 * @param {T[]} items
 * @param {(item: T) => Child} row
 * @param {string} empty
 */
function fill(place, titles, items, row, empty = "Nothing.") {
  if (!items.length) {
    replace(place, el("p", { class: "empty" }, empty));
    return;
  }
  const rows = items.map((item) => el("tr", {}, row(item)));
  const right = [...rows[0].children].map((cell) => cell.classList.contains("right"));
  const table = el("table", {},
    el("thead", {}, el("tr", {}, titles.map((title, index) => el("th", { scope: "col", class: right[index] ? "right" : null }, title)))),
    el("tbody", {}, rows));
  if (place.innerHTML !== table.outerHTML) replace(place, table);
}

/** @param {...Child} content */
const cell = (...content) => el("td", {}, ...content);
const EXACT_BELOW = 1000;

/**
 * A number that fits a narrow screen, whatever its size; a large one is exact in the tooltip.
 * @param {number | null | undefined} value
 * @param {number} digits
 */
function number(value, digits = 0) {
  const text = value === null || value === undefined ? "–" : digits && value < EXACT_BELOW ? value.toFixed(digits) : brief(Math.round(value));
  return el("td", { class: `right${value ? "" : " zero"}`, title: /** @type {number} */ (value) > EXACT_BELOW ? count(/** @type {number} */ (value)) : null }, text);
}

/**
 * @param {ProcessStatus} process
 * @param {Record<string, ServiceStatus>} breakers
 */
function processRow({ name, status, checks, error }, breakers) {
  const failing = Object.entries(checks).filter(([, outcome]) => outcome !== "ok").map(([what, outcome]) => `${what}: ${outcome}`);
  const towards = breakers[name];
  return [
    cell(name), cell(chip(LOOK[status], status), (error || failing.length > 0) && el("span", { class: "why" }, error ?? failing.join("; "))),
    cell(towards ? chip(...BREAKER[towards.breaker]) : el("span", { class: "zero" }, "–")),
    number(towards?.calls_in_flight),
  ];
}

/** @param {PanelStatus} panel */
const panelRow = ({ name, calls, p50_ms: p50, p95_ms: p95, p99_ms: p99, stale, unavailable }) =>
  [cell(name), ...[p50, p95, p99].map(milliseconds), number(calls), number(stale + unavailable)];
/** @param {number | null} value */
const milliseconds = (value) => el("td", { class: `right${value ? "" : " zero"}`, title: value === null ? "Fewer than 20 calls" : null }, value === null ? "–" : value < 10 ? value.toFixed(1) : brief(Math.round(value)));
/**
 * @param {JobStatus} status
 * @param {Record<string, number>} rates
 * @param {Paused | undefined} paused
 */
const jobRow = ({ job, retrying, dead }, rates, paused) => [
  cell(el("a", { href: searchAddress({ job }), "data-key": `job-${job}` }, job), paused && el("div", {}, pausedMark(paused))),
  number(rates[job] ?? null, 1), number(retrying),
  el("td", { class: "right" }, dead ? chip("bad", brief(dead)) : el("span", { class: "zero" }, "0")),
];
/** @param {QueueStatus} queue */
const queueRow = ({ name, messages, consumers }) => [cell(name), number(messages), consumers ? number(consumers) : el("td", { class: "right" }, chip("bad", "none"))];
/** @param {OutboxStatus} outbox */
const outboxRow = ({ service, rows, oldest_s: oldest }) => [cell(service), number(rows), el("td", { class: `right${oldest ? "" : " zero"}` }, oldest === null ? "–" : oldest < EXACT_BELOW ? `${oldest.toFixed(1)} s` : duration(oldest * 1000))];
