// The list of jobs, the form that searches it, and what administrators may do with the result.
import { get, Problem } from "./api.js";
import { bulkActions } from "./bulk.js";
import { el, replace } from "./dom.js";
import { ID_PATTERN } from "./filters.js";
import { field } from "./forms.js";
import { plural } from "./format.js";
import { FILTERS, jobAddress, searchAddress } from "./job-addresses.js";
import { chip, STATES, stackedCell, stackedRow, stackedTable, stateChip } from "./job-parts.js";
import { pausedJobs } from "./paused-jobs.js";
import { Search } from "./search.js";
import { since } from "./times.js";

/** @import { Paused } from "./paused-jobs.js" */
/** @import { Filters } from "./search.js" */

/** @type {[string][]} */
const TITLES = [["Job"], ["Event"], ["State"], ["Arrived"]];
const NOT_DONE = "Jobs that are scheduled, waiting, running, retrying or dead. Choose a state or search to see others.";

export class JobSearch {
  #ended = new AbortController();
  #job = field("Job", "job", { options: [["", "All"]] });
  #bulk = el("div", { class: "bulk-place" });
  /** @type {Map<string, Paused>} */
  #paused = new Map();
  #search;

  /**
   * @param {Element} place
   * @param {boolean} isAdmin
   */
  constructor(place, isAdmin) {
    /** @type {Search<JobSummary>} */
    this.#search = new Search(place, {
      title: "Jobs",
      path: "/v1/admin/jobs",
      filters: FILTERS,
      address: searchAddress,
      fields: el("div", { class: "search-fields" },
        field("Text", "q", { type: "search", maxlength: 500, autocomplete: "off" }, "An event’s id, a user’s id, or part of a type or an error."),
        this.#job,
        field("State", "state", { options: [["", "Any"], ...Object.entries(STATES).map(([state, [, text]]) => /** @type {[string, string]} */ ([state, text]))] }),
        field("User id", "user_id", { pattern: ID_PATTERN, autocomplete: "off", spellcheck: "false" }),
        field("Type", "event_type", { maxlength: 500, autocomplete: "off", spellcheck: "false" }),
        field("Arrived from", "from", { type: "datetime-local" }),
        field("Arrived before", "to", { type: "datetime-local" })),
      note,
      table: (jobs) => stackedTable(TITLES, jobs.map((job) => row(job, this.#paused.has(job.job)))),
      none: "No job matches.",
      prepare: async (signal) => { this.#paused = await pausedJobs(signal); },
      shown: (jobs, filters) => replace(this.#bulk, isAdmin && jobs.length > 0 && bulkActions(filters, () => this.#search.load())),
    }, this.#bulk);
    this.#readNames();
  }

  close() {
    this.#ended.abort();
    this.#search.close();
  }

  /**
   * Shows the results of a search.
   * @param {URLSearchParams} query
   */
  show(query) {
    const job = query.get("job");
    if (job) this.#offerJobs([job]);
    this.#search.show(query);
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
 * The number of jobs, and of which cause they are.
 * @param {JobSummary[]} jobs
 * @param {boolean} isMore
 * @param {Filters} filters
 */
function note(jobs, isMore, filters) {
  const { error_group: cause, ...others } = filters;
  const isDefault = Object.entries(filters).every(([name, value]) => name === "job" || !value);
  return [
    el("span", {}, `${isMore ? "The latest " : ""}${plural(jobs.length, "job")}.${isDefault ? ` ${NOT_DONE}` : ""}`),
    cause && el("span", {}, " Cause: ", el("code", {}, cause), ". ", el("a", { href: searchAddress(others), "data-key": "any-cause" }, "Any cause")),
  ];
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
