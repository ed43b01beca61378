// The status of the system, read every two seconds while the page is visible.
import { get } from "./api.js";
import { el, replace } from "./dom.js";
import { failedJobs } from "./failed-jobs.js";
import { atClock, count } from "./format.js";
import { Throughput } from "./throughput.js";

const EVERY_MS = 2000;
const LOOK = { ready: "good", degraded: "warn", unavailable: "bad", unreachable: "bad" };
const BREAKER = { closed: ["good", "Closed"], half_open: ["warn", "Half open"], open: ["bad", "Open"] };

export class Operations {
  #ended = new AbortController();
  #status = document.getElementById("live");
  #throughput = new Throughput();
  #verdict = el("div", { class: "verdict unsure", role: "status" }, "Asking…");
  #tiles = el("dl", { class: "tiles" });
  #places = {};
  #seen = null;
  #timer = 0;

  constructor(place, isAdmin) {
    const card = (key, title, attributes = {}) => {
      this.#places[key] = el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": title });
      return el("section", { class: "card", ...attributes }, el("div", { class: "card-head" }, el("h2", {}, title)), this.#places[key]);
    };
    this.#status.hidden = false;
    place.replaceChildren(
      el("div", { class: "greeting" }, el("h1", {}, "Operations")),
      this.#verdict, this.#tiles,
      el("div", { class: "ops" },
        failedJobs(isAdmin, this.#ended.signal),
        card("processes", "Processes"), card("panels", "Panels, last minute"),
        el("section", { class: "card" }, el("div", { class: "card-head" }, el("h2", {}, "Jobs")), this.#throughput.plot,
          (this.#places.jobs = el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Jobs" }))),
        el("div", { class: "column" }, card("queues", "Queues"), card("outboxes", "Outboxes"))));
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#ask(); }, { signal: this.#ended.signal });
    this.#ask();
  }

  close() {
    this.#ended.abort();
    clearTimeout(this.#timer);
    this.#status.hidden = true;
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  }

  async #ask() {
    clearTimeout(this.#timer);
    try {
      this.#seen = await get("/v1/admin/status", { signal: this.#ended.signal });
      this.#show(this.#seen);
      this.#say("live", "Live", `As of ${atClock(new Date(this.#seen.at))}`);
    } catch (problem) {
      if (this.#ended.signal.aborted) return;
      this.#say("away", this.#seen ? `As of ${atClock(new Date(this.#seen.at))}` : "No answer", problem.message);
    }
    if (!document.hidden && !this.#ended.signal.aborted) this.#timer = setTimeout(() => this.#ask(), EVERY_MS);
  }

  #say(state, words, title) {
    if (this.#status.textContent === words && this.#status.dataset.state === state) return;
    this.#status.dataset.state = state;
    this.#status.title = title;
    this.#status.replaceChildren(el("span", { class: "words" }, words));
  }

  #show(seen) {
    const rates = this.#throughput.take(seen);
    replace(this.#tiles, ...tiles(seen, this.#throughput.rate));
    this.#showVerdict(seen.problems);
    const breakers = Object.fromEntries(seen.services.map((each) => [each.name, each]));
    fill(this.#places.processes, ["Process", "Health", "Breaker", "Calls"], seen.processes, (each) => processRow(each, breakers));
    fill(this.#places.panels, ["Panel", "p50 (ms)", "p95 (ms)", "p99 (ms)", "Calls", "Stale"], seen.panels, panelRow, "No panels.");
    fill(this.#places.jobs, ["Job", "Per second", "Retrying", "Dead"], seen.jobs, (each) => jobRow(each, rates), "No worker responds.");
    fill(this.#places.queues, ["Queue", "Messages", "Consumers"], seen.queues, queueRow, "No worker can reach RabbitMQ.");
    fill(this.#places.outboxes, ["Outbox", "Waiting", "Oldest"], seen.outboxes, outboxRow);
  }

  #showVerdict(found) {
    const text = found.length ? `${found.length} ${found.length === 1 ? "problem" : "problems"}` : "No problems";
    const key = [text, ...found].join("\n");
    if (this.#verdict.dataset.key === key) return; // otherwise screen readers would announce it every two seconds
    this.#verdict.dataset.key = key;
    this.#verdict.className = found.length ? "verdict ill" : "verdict";
    this.#verdict.replaceChildren(el("div", {}, text, found.length ? el("ul", {}, found.map((each) => el("li", {}, each))) : ""));
  }
}

function tiles(seen, rate) {
  const sum = (rows, name) => rows.reduce((all, each) => all + (each[name] ?? 0), 0);
  const { cache_hits: hits, cache_misses: misses, streams, cache_entries: entries } = seen.gateway;
  return [
    tile("Jobs per second", rate === null ? "–" : rate.toFixed(rate < 10 ? 1 : 0)),
    tile("Messages waiting", count(sum(seen.queues, "messages"))),
    tile("In outboxes", count(sum(seen.outboxes, "rows"))),
    tile("Dead jobs", count(sum(seen.jobs, "dead")), `${count(sum(seen.jobs, "retrying"))} retrying`),
    tile("Live streams", count(streams), seen.gateway.feed_connected ? "feed connected" : "feed lost"),
    tile("Cache hits", hits + misses ? `${Math.round((100 * hits) / (hits + misses))} %` : "–", `${count(entries)} kept`),
  ];
}

const tile = (label, value, note) => el("div", { class: "tile" }, el("dt", {}, label), el("dd", {}, value, note && el("small", {}, note)));

/** A table; columns except the first are right-aligned if `row` says so. */
function fill(place, titles, items, row, empty = "Nothing.") {
  if (!items.length) {
    replace(place, el("p", { class: "empty" }, empty));
    return;
  }
  const rows = items.map((item) => el("tr", {}, row(item)));
  const right = [...rows[0].children].map((cell) => cell.classList.contains("right"));
  replace(place, el("table", {},
    el("thead", {}, el("tr", {}, titles.map((title, index) => el("th", { scope: "col", class: right[index] ? "right" : null }, title)))),
    el("tbody", {}, rows)));
}

const cell = (...content) => el("td", {}, ...content);
const number = (value, digits = 0) => el("td", { class: `right${value ? "" : " zero"}` }, value === null || value === undefined ? "–" : digits ? value.toFixed(digits) : count(value));
const chip = (look, text) => el("span", { class: `chip ${look}` }, text);

function processRow({ name, status, checks, error }, breakers) {
  const failing = Object.entries(checks).filter(([, outcome]) => outcome !== "ok").map(([what, outcome]) => `${what}: ${outcome}`);
  const towards = breakers[name];
  return [
    cell(name), cell(chip(LOOK[status], status), (error || failing.length > 0) && el("span", { class: "why" }, error ?? failing.join("; "))),
    cell(towards ? chip(...BREAKER[towards.breaker]) : el("span", { class: "zero" }, "–")),
    number(towards?.calls_in_flight),
  ];
}

const panelRow = ({ name, calls, p50_ms: p50, p95_ms: p95, p99_ms: p99, stale, unavailable }) =>
  [cell(name), ...[p50, p95, p99].map(milliseconds), number(calls), number(stale + unavailable)];
const milliseconds = (value) => el("td", { class: `right${value ? "" : " zero"}`, title: value === null ? "Fewer than 20 calls" : null }, value === null ? "–" : value < 10 ? value.toFixed(1) : count(Math.round(value)));
const jobRow = ({ job, retrying, dead }, rates) => [cell(job), number(rates[job] ?? null, 1), number(retrying), el("td", { class: "right" }, dead ? chip("bad", count(dead)) : el("span", { class: "zero" }, "0"))];
const queueRow = ({ name, messages, consumers }) => [cell(name), number(messages), consumers ? number(consumers) : el("td", { class: "right" }, chip("bad", "none"))];
const outboxRow = ({ service, rows, oldest_s: oldest }) => [cell(service), number(rows), el("td", { class: `right${oldest ? "" : " zero"}` }, oldest === null ? "–" : `${oldest.toFixed(1)} s`)];
