// One job: its state, its attempts, what operators did, and for administrators its message and actions.
import { get, post, Problem } from "./api.js";
import { busy, confirmed, el, replace, toast } from "./dom.js";
import { openDiscard } from "./discard.js";
import { duration, plural, whenExactly } from "./format.js";
import { searchAddress } from "./job-addresses.js";
import { chip, namesOf, stackedCell, stackedRow, stackedTable, stateChip } from "./job-parts.js";
import { pauseButton, pausedJobs, pausedMark } from "./paused-jobs.js";
import { poll } from "./polling.js";
import { since } from "./times.js";

/** @import { Child } from "./dom.js" */
/** @import { Paused } from "./paused-jobs.js" */

const EVERY_MS = 2000;
const CAN_RETRY = new Set(["scheduled", "waiting", "retrying", "dead", "discarded", "cancelled"]);
const CAN_CANCEL = new Set(["scheduled", "waiting", "retrying"]);
/** @type {Record<JobAttempt["outcome"], [string, string]>} */
const OUTCOMES = {
  done: ["good", "Done"],
  retrying: ["warn", "Failed"],
  dead: ["bad", "Dead"],
  suppressed: ["", "Suppressed"],
  running: ["info", "Running"],
  interrupted: ["warn", "Interrupted"],
};
const ACTIONS = { replay: "Replayed", discard: "Discarded", retry: "Retried", cancel: "Cancelled" };
/** @type {[string][]} */
const TITLES = [["Attempt"], ["Worker"], ["Outcome"], ["Started"]];

export class JobPage {
  #ended = new AbortController();
  #isAdmin;
  #job;
  #eventId;
  #shown = "";
  #pausing = el("div", { class: "pausing" });
  #body = el("div");
  #ask;

  /**
   * @param {Element} place
   * @param {boolean} isAdmin
   * @param {string} job
   * @param {string} eventId
   */
  constructor(place, isAdmin, job, eventId) {
    this.#isAdmin = isAdmin;
    this.#job = job;
    this.#eventId = eventId;
    place.replaceChildren(el("div", { class: "greeting" }, el("h1", {}, job), this.#pausing), this.#body);
    this.#ask = poll(() => this.#refresh(), EVERY_MS, this.#ended.signal);
  }

  close() {
    this.#ended.abort();
  }

  /** Reads the job again if its line in the list has changed: unlike the list, reading a job is audited. */
  async #refresh() {
    const { signal } = this.#ended;
    try {
      const query = new URLSearchParams({ job: this.#job, q: this.#eventId });
      const [{ items }, paused] = await Promise.all([get(`/v1/admin/jobs?${query}`, { signal }), pausedJobs(signal)]);
      const now = JSON.stringify([items, paused.get(this.#job)]);
      if (now === this.#shown) return;
      /** @type {Job} */
      const found = await get(this.#path, { signal });
      const names = await namesOf(found.audit.map(({ actor }) => actor));
      this.#show(found, paused.get(this.#job), names);
      this.#shown = now;
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      const isGone = problem.status === 404;
      if (isGone || !this.#shown) replace(this.#body, el("p", { class: "form-error" }, problem.message));
      if (isGone) this.close();
    }
  }

  get #path() {
    return `/v1/admin/jobs/${this.#job}/${this.#eventId}`;
  }

  /**
   * @param {Job} found
   * @param {Paused | undefined} paused
   * @param {Record<string, string>} names
   */
  #show(found, paused, names) {
    replace(this.#pausing, pausedMark(paused), this.#isAdmin && pauseButton(found.job, paused, this.#ask));
    replace(this.#body, el("div", { class: "ops" },
      card("Details",
        el("div", { class: "card-body" }, el("p", { class: "job-state" }, stateChip(found.state)),
          facts(found), found.error && long(found.state === "suppressed" ? "Reason" : "Error", found.error), this.#isAdmin && this.#actions(found))),
      card("Attempts", attempts(found)),
      card("Audit log", audit(found, names)),
      this.#isAdmin && card("Message", message(found))));
  }

  /** @param {Job} found */
  #actions(found) {
    const action = (/** @type {string} */ key, /** @type {string} */ text, /** @type {string} */ look, /** @type {() => Promise<void>} */ work) => el("button", {
      class: `button small ${look}`, type: "button", "data-key": key, onclick: (event) => busy(event.currentTarget, work),
    }, text);
    const selection = { job: found.job, event_ids: [found.event_id], state: "dead" };
    return el("div", { class: "job-actions" },
      CAN_RETRY.has(found.state) && action("retry", "Retry now", "", () => this.#retry()),
      CAN_CANCEL.has(found.state) && action("cancel", "Cancel", "danger", () => this.#cancel()),
      found.state === "dead" && el("button", { class: "button small danger", type: "button", "data-key": "discard", onclick: () => openDiscard(selection, 1, this.#ask) }, "Discard"));
  }

  async #retry() {
    const text = "The next attempt starts at once. What has taken effect already does not take effect twice.";
    if (!(await confirmed("Retry this job now?", text, "Retry now", "Not now"))) return;
    await post(`${this.#path}/retry`).finally(this.#ask);
    toast("The job will be tried again now.");
  }

  async #cancel() {
    if (!(await confirmed("Cancel this job?", "It is not tried again. It is kept for a while, and can be retried.", "Cancel the job", "Not now"))) return;
    await post(`${this.#path}/cancel`).finally(this.#ask);
    toast("The job has been cancelled.");
  }
}

/**
 * @param {string} title
 * @param {...Child} content
 */
const card = (title, ...content) => el("section", { class: "card whole", "aria-label": title },
  el("div", { class: "card-head" }, el("h2", {}, title)), content);

/**
 * @param {string} title
 * @param {string} text
 */
const long = (title, text) => el("pre", { class: "text", tabindex: "0", role: "group", "aria-label": title }, text);

/** @param {Job} job */
function facts(job) {
  const user = job.user_id && el("a", { class: "mono", href: searchAddress({ user_id: job.user_id }), "data-key": "user" }, job.user_id);
  /** @type {[string, Child][]} */
  const known = [
    ["Event", el("span", { class: "mono" }, job.event_id)],
    ["Type", job.event_type],
    ["User", user],
    ["Key", job.key && el("span", { class: "mono" }, job.key)],
    ["Attempts", job.total_attempts > job.attempts ? `${job.attempts}, and ${job.total_attempts - job.attempts} before it was replayed` : String(job.attempts)],
    ["Arrived", at(job.created_at)],
    ["Changed", at(job.updated_at)],
    ["Next attempt", ["scheduled", "retrying"].includes(job.state) && job.next_attempt_at && at(job.next_attempt_at)],
    ["Cause", job.error_group],
  ];
  return el("dl", { class: "facts" }, known.filter(([, value]) => value).map(([title, value]) => [el("dt", {}, title), el("dd", {}, value)]).flat());
}

/** @param {string} iso */
const at = (iso) => el("span", {}, whenExactly(iso), " ", el("span", { class: "muted" }, "(", since(iso), ")"));

/** @param {Job} job */
function attempts({ attempt_log: log }) {
  if (!log.length) return el("p", { class: "empty" }, "No attempt has started.");
  return stackedTable(TITLES, [...log].reverse().map(attempt));
}

/** @param {JobAttempt} each */
const attempt = (each) => stackedRow({},
  stackedCell(null, `${each.number}.`),
  stackedCell(null, el("span", {}, each.worker), each.trace_id && el("span", { class: "trace muted small" }, "Trace ", el("span", { class: "mono" }, each.trace_id)),
    each.error && el("span", { class: "error-text muted", title: each.error }, each.error)),
  stackedCell(null, chip(...OUTCOMES[each.outcome])),
  stackedCell("muted", at(each.started_at), each.duration_ms !== null && el("span", { class: "small attempts" }, `took ${duration(each.duration_ms)}`)));

/**
 * @param {Job} job
 * @param {Record<string, string>} names
 */
function audit({ audit: entries }, names) {
  if (!entries.length) return el("p", { class: "empty" }, "No operator has changed this job.");
  return el("ul", { class: "card-body" }, [...entries].reverse().map((each) => el("li", {},
    `${ACTIONS[each.action]} by ${names[each.actor]}, `, at(each.at), each.reason && `: ${each.reason}`,
    el("span", { class: "muted small" }, ` Before: ${each.previous_state}, ${plural(each.previous_attempts, "attempt")}.`))));
}

/** @param {Job} job */
function message({ payload, headers }) {
  if (payload === null) return el("p", { class: "empty" }, "The message is deleted when the job is done, or when its user is deleted.");
  return el("div", { class: "card-body" },
    long("Message", pretty(payload)),
    headers && el("details", { "data-key": "headers" }, el("summary", {}, "Headers"), long("Headers", JSON.stringify(headers, null, 2))));
}

const INEXACT = /\d{16}/;

/**
 * Formats JSON with one value per line; returns other text, and JSON with numbers that JavaScript would round, unchanged.
 * @param {string} text
 */
function pretty(text) {
  try {
    return INEXACT.test(text) ? text : JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
