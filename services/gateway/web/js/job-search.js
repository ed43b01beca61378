// The list of jobs, and the form that searches it. The search is in the address.
import { get, Problem } from "./api.js";
import { bulkActions } from "./bulk.js";
import { busy, el, replace } from "./dom.js";
import { entered, ID_PATTERN, shownIn } from "./filters.js";
import { field, form } from "./forms.js";
import { plural } from "./format.js";
import { filtersOf, jobAddress, searchAddress } from "./job-addresses.js";
import { chip, STATES, stackedCell, stackedRow, stackedTable, stateChip } from "./job-parts.js";
import { pausedJobs } from "./paused-jobs.js";
import { since } from "./times.js";

/** @import { Paused } from "./paused-jobs.js" */

const PAGE = 50;
/** @type {[string][]} */
const TITLES = [["Job"], ["Event"], ["State"], ["Arrived"]];
const NOT_DONE = "Jobs that are scheduled, waiting, running, retrying or dead. Choose a state or search to see others.";

export class JobSearch {
  #ended = new AbortController();
  #loading = new AbortController();
  #filters = filtersOf(new URLSearchParams());
  #form;
  #job;
  #isAdmin;
  #note = el("p", { class: "muted small result-note", role: "status" });
  #bulk = el("div", { class: "bulk-place" });
  #list = el("div");

  /**
   * @param {Element} place
   * @param {boolean} isAdmin
   */
  constructor(place, isAdmin) {
    this.#isAdmin = isAdmin;
    this.#job = field("Job", "job", { options: [["", "All"]] });
    this.#form = form(
      el("div", { class: "search-fields" },
        field("Text", "q", { type: "search", maxlength: 500, autocomplete: "off" }, "An event’s id, a user’s id, or part of a type or an error."),
        this.#job,
        field("State", "state", { options: [["", "Any"], ...Object.entries(STATES).map(([state, [, text]]) => /** @type {[string, string]} */ ([state, text]))] }),
        field("User id", "user_id", { pattern: ID_PATTERN, autocomplete: "off", spellcheck: "false" }),
        field("Type", "event_type", { maxlength: 500, autocomplete: "off", spellcheck: "false" }),
        field("Arrived from", "from", { type: "datetime-local" }),
        field("Arrived before", "to", { type: "datetime-local" })),
      el("div", { class: "actions" },
        el("button", { class: "button", type: "button", onclick: () => this.#go({}) }, "Clear"),
        el("button", { class: "button primary", type: "submit" }, "Search")),
      (data) => this.#go({ ...this.#filters, ...entered(data) }), { class: "form search", role: "search", "aria-label": "Jobs" });
    place.replaceChildren(
      el("div", { class: "greeting" }, el("h1", {}, "Jobs")),
      el("section", { class: "card", "aria-label": "Jobs" }, this.#form, this.#note, this.#bulk, this.#list));
    this.#readNames();
  }

  close() {
    this.#ended.abort();
    this.#loading.abort();
  }

  /**
   * Shows the results of a search.
   * @param {URLSearchParams} query
   */
  show(query) {
    this.#filters = filtersOf(query);
    this.#fillForm();
    this.#load();
  }

  /**
   * The same search again finds what has changed.
   * @param {Record<string, string>} filters
   */
  #go(filters) {
    const address = searchAddress(filters);
    if (address === searchAddress(this.#filters)) this.#load();
    else location.hash = address;
  }

  #fillForm() {
    for (const input of /** @type {HTMLCollectionOf<HTMLInputElement>} */ (this.#form.elements)) {
      if (!input.name) continue;
      const value = this.#filters[input.name];
      if (input.name === "job" && value) this.#offerJobs([value]);
      input.value = shownIn(input, value);
    }
  }

  async #load() {
    this.#loading.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    replace(this.#note, "Loading…");
    try {
      const [page, paused] = await Promise.all([this.#page(null, signal), pausedJobs(signal)]);
      this.#showJobs([], page, paused);
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      replace(this.#note, Object.values(problem.fields)[0] ?? problem.message);
      replace(this.#bulk);
      replace(this.#list);
    }
  }

  /**
   * @param {string | null} cursor
   * @param {AbortSignal} signal
   * @returns {Promise<PageOf<JobSummary>>}
   */
  #page(cursor, signal) {
    const query = new URLSearchParams(Object.entries(this.#filters).filter(([, value]) => value));
    query.set("limit", /** @type {any} */ (PAGE));
    if (cursor) query.set("cursor", cursor);
    return get(`/v1/admin/jobs?${query}`, { signal });
  }

  /**
   * @param {JobSummary[]} before
   * @param {PageOf<JobSummary>} page
   * @param {Map<string, Paused>} paused
   */
  #showJobs(before, { items, next_cursor: cursor }, paused) {
    const all = [...before, ...items];
    const { error_group: cause, ...others } = this.#filters;
    const { signal } = this.#loading;
    const more = async () => this.#showJobs(all, await this.#page(cursor, signal), paused);
    const isDefault = Object.entries(this.#filters).every(([name, value]) => name === "job" || !value);
    replace(this.#note,
      el("span", {}, `${cursor ? "The latest " : ""}${plural(all.length, "job")}.${isDefault ? ` ${NOT_DONE}` : ""}`),
      cause && el("span", {}, " Cause: ", el("code", {}, cause), ". ", el("a", { href: searchAddress(others), "data-key": "any-cause" }, "Any cause")));
    replace(this.#bulk, this.#isAdmin && all.length > 0 && bulkActions(this.#filters, () => this.#load()));
    replace(this.#list,
      all.length ? stackedTable(TITLES, all.map((job) => row(job, paused.has(job.job)))) : el("p", { class: "empty" }, "No job matches."),
      cursor && el("div", { class: "more" }, el("button", { class: "button small", type: "button", "data-key": "more-jobs", onclick: (event) => busy(event.currentTarget, more) }, "Show more")));
    if (before.length) this.#list.querySelectorAll("a")[before.length]?.focus();
  }

  /** Offers the names of all jobs; those of the address are known without it. */
  async #readNames() {
    try {
      /** @type {SystemStatus} */
      const { jobs } = await get("/v1/admin/status", { signal: this.#ended.signal });
      this.#offerJobs(jobs.map(({ job }) => job));
    } catch (problem) {
      if (!this.#ended.signal.aborted && !(problem instanceof Problem)) throw problem;
    }
  }

  /** @param {string[]} names */
  #offerJobs(names) {
    const select = /** @type {HTMLSelectElement} */ (this.#job.querySelector("select"));
    const known = [...select.options].map(({ value }) => value);
    const value = select.value;
    const all = [...new Set([...known.slice(1), ...names])].sort();
    select.replaceChildren(select.options[0], ...all.map((name) => el("option", { value: name }, name)));
    select.value = value;
  }
}

/**
 * @param {JobSummary} job
 * @param {boolean} isPaused
 */
const row = (job, isPaused) => stackedRow({ "data-job": job.event_id },
  stackedCell(null, job.job, isPaused && [" ", chip("warn", "Paused")]),
  stackedCell(null, job.event_type, el("br"), el("a", { class: "mono small", href: jobAddress(job), "data-key": `job-${job.job}-${job.event_id}` }, job.event_id),
    job.error && el("span", { class: "error-text muted", title: job.error }, job.error)),
  stackedCell(null, stateChip(job.state)),
  stackedCell("muted", since(job.created_at), el("span", { class: "small attempts" }, plural(job.attempts, "attempt"),
    job.next_attempt_at && ["scheduled", "retrying"].includes(job.state) && [", next ", since(job.next_attempt_at)])));
