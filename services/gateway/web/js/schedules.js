// The schedules of jobs: when they ran and run next; running, pausing and resuming them.
import { get, post, Problem } from "./api.js";
import { busy, confirmed, el, replace, toast } from "./dom.js";
import { whenExactly } from "./format.js";
import { searchAddress } from "./job-addresses.js";
import { chip, stackedCell, stackedRow, stackedTable } from "./job-parts.js";
import { poll } from "./polling.js";
import { since } from "./times.js";

/** @import { Child } from "./dom.js" */

const EVERY_MS = 4000;
const TICK = "task.tick";
/** @type {[Child, string?][]} */
const TITLES = [["Schedule"], ["Times"], ["Next run"], ["Last run"], [el("span", { class: "hidden-text" }, "Actions")]];

export class Schedules {
  #ended = new AbortController();
  #isAdmin;
  #list = el("div", {}, el("p", { class: "empty" }, "Loading…"));
  #shown = "";
  #ask;

  /**
   * @param {Element} place
   * @param {boolean} isAdmin
   */
  constructor(place, isAdmin) {
    this.#isAdmin = isAdmin;
    place.replaceChildren(
      el("div", { class: "greeting" }, el("h1", {}, "Schedules")),
      el("section", { class: "card", "aria-label": "Schedules" }, this.#list));
    this.#ask = poll(() => this.#refresh(), EVERY_MS, this.#ended.signal);
  }

  close() {
    this.#ended.abort();
  }

  async #refresh() {
    try {
      /** @type {{items: Schedule[]}} */
      const { items } = await get("/v1/admin/schedules", { signal: this.#ended.signal });
      if (JSON.stringify(items) === this.#shown) return;
      this.#shown = JSON.stringify(items);
      replace(this.#list, items.length ? stackedTable(TITLES, items.map((each) => this.#row(each))) : el("p", { class: "empty" }, "No job has a schedule."));
    } catch (problem) {
      if (this.#ended.signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      if (!this.#shown) replace(this.#list, el("p", { class: "empty" }, problem.message));
    }
  }

  /** @param {Schedule} schedule */
  #row({ name, cron, timezone, paused, last_run: lastRun, next_run: nextRun }) {
    const action = (/** @type {string} */ key, /** @type {string} */ text, /** @type {(name: string, ask: () => void) => Promise<void>} */ work) => el("button", {
      class: "button small", type: "button", "data-key": `${key}-${name}`, "aria-label": `${text} ${name}`,
      onclick: (event) => busy(event.currentTarget, () => work(name, this.#ask)),
    }, text);
    return stackedRow({ "data-schedule": name },
      stackedCell(null, el("a", { href: searchAddress({ job: name, event_type: TICK }), "data-key": `runs-${name}` }, name)),
      stackedCell(null, el("code", {}, cron), " ", el("span", { class: "muted small" }, timezone)),
      stackedCell("next", paused ? chip("warn", "Paused") : nextRun && at(nextRun)),
      stackedCell("muted whole-row", el("span", { class: "narrow" }, "Last run: "), lastRun ? at(lastRun) : "never"),
      stackedCell("right do whole-row", this.#isAdmin && el("span", { class: "buttons" },
        action("run", "Run now", run), paused ? action("pause", "Resume", resume) : action("pause", "Pause", pause))));
  }
}

/** @param {string} iso */
const at = (iso) => el("span", { title: whenExactly(iso) }, since(iso), el("span", { class: "exact muted small" }, whenExactly(iso)));

/**
 * @param {string} name
 * @param {() => void} ask
 */
async function run(name, ask) {
  if (!(await confirmed(`Run ${name} now?`, "This run is added to the scheduled ones.", "Run now", "Not now"))) return;
  await post(`/v1/admin/schedules/${name}/run`).finally(ask);
  toast(`${name} runs now.`);
}

/**
 * @param {string} name
 * @param {() => void} ask
 */
async function pause(name, ask) {
  if (!(await confirmed(`Pause ${name}?`, "Its times are skipped until it is resumed.", "Pause", "Not now"))) return;
  await post(`/v1/admin/schedules/${name}/pause`).finally(ask);
  toast(`${name} is paused.`);
}

/**
 * @param {string} name
 * @param {() => void} ask
 */
async function resume(name, ask) {
  await post(`/v1/admin/schedules/${name}/resume`).finally(ask);
  toast(`${name} is resumed.`);
}
