// The worker processes: where they run, what they do, and when each was last seen.
import { get, Problem } from "./api.js";
import { el, replace } from "./dom.js";
import { plural } from "./format.js";
import { chip, stackedCell, stackedRow, stackedTable } from "./job-parts.js";
import { poll } from "./polling.js";
import { since } from "./times.js";

const EVERY_MS = 4000;
/** @type {[string][]} */
const TITLES = [["Worker"], ["In progress"], ["State"], ["Last seen"]];

export class Workers {
  #ended = new AbortController();
  #note = el("p", { class: "muted small result-note", role: "status" });
  #list = el("div", {}, el("p", { class: "empty" }, "Loading…"));
  #shown = "";

  /** @param {Element} place */
  constructor(place) {
    place.replaceChildren(
      el("div", { class: "greeting" }, el("h1", {}, "Workers")),
      el("section", { class: "card", "aria-label": "Workers" }, this.#note, this.#list));
    poll(() => this.#refresh(), EVERY_MS, this.#ended.signal);
  }

  close() {
    this.#ended.abort();
  }

  async #refresh() {
    try {
      /** @type {{items: WorkerProcess[]}} */
      const { items } = await get("/v1/admin/workers", { signal: this.#ended.signal });
      if (JSON.stringify(items) === this.#shown) return;
      this.#shown = JSON.stringify(items);
      const alive = plural(items.filter((each) => each.alive).length, "worker");
      if (this.#note.textContent !== alive) replace(this.#note, alive);
      replace(this.#list, items.length ? stackedTable(TITLES, items.map(row)) : el("p", { class: "empty" }, "No worker is running."));
    } catch (problem) {
      if (this.#ended.signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      if (!this.#shown) replace(this.#list, el("p", { class: "empty" }, problem.message));
    }
  }
}

/** @param {WorkerProcess} worker */
function row(worker) {
  const { id, host, pid, version, started_at: started, seen_at: seen, alive, consumers } = worker;
  return stackedRow({ "data-worker": id },
    stackedCell("named", `${host}:${pid}`, el("span", { class: "muted small exact" }, `version ${version}, started `, since(started))),
    stackedCell(null, progress(worker),
      el("details", { "data-key": `queues-${id}` },
        el("summary", { "data-key": `queues-of-${id}`, class: "muted small" }, `${plural(consumers.length, "consumer")} of ${worker.consumers_expected}`),
        el("ul", { class: "small named" }, consumers.map((queue) => el("li", {}, queue))))),
    stackedCell(null, stateOf(worker)),
    stackedCell("muted", alive ? "just now" : since(seen)));
}

/** @param {WorkerProcess} worker */
function stateOf({ alive, consumers, consumers_expected: expected }) {
  if (!alive) return chip("bad", "Lost");
  return consumers.length < expected ? chip("warn", "Consumers missing") : chip("good", "Alive");
}

/** @param {WorkerProcess} worker */
function progress({ alive, in_progress: byJob }) {
  const jobs = Object.entries(byJob).sort();
  if (!jobs.length) return el("span", { class: "zero" }, "Nothing");
  return el("span", {}, `${alive ? "" : "Was at "}${jobs.map(([job, number]) => `${job} ${number}`).join(", ")}`);
}
