// The audit log, and the form that filters it. The filters are in the address.
import { get, Problem } from "./api.js";
import { busy, el, replace } from "./dom.js";
import { entered, ID_PATTERN, shownIn } from "./filters.js";
import { field, form } from "./forms.js";
import { plural, whenExactly } from "./format.js";
import { AUDIT_FILTERS, auditAddress, userAddress } from "./job-addresses.js";
import { namesOf, stackedCell, stackedRow, stackedTable } from "./job-parts.js";
import { since } from "./times.js";

const PAGE = 50;
/** @type {[string][]} */
const TITLES = [["Action"], ["Who and whom"], ["Time"], ["From"]];

export class Audit {
  #loading = new AbortController();
  /** @type {Record<string, string>} */
  #filters = {};
  #form;
  #note = el("p", { class: "muted small result-note", role: "status" });
  #list = el("div");

  /** @param {Element} place */
  constructor(place) {
    const id = { pattern: ID_PATTERN, autocomplete: "off", spellcheck: "false" };
    this.#form = form(
      el("div", { class: "search-fields" },
        field("Action", "action", { maxlength: 200, autocomplete: "off", spellcheck: "false" }, "The complete name, such as signed_in."),
        field("Actor", "actor_id", id, "The id of who acted."),
        field("Subject", "subject_id", id, "The id of the account."),
        field("From", "from", { type: "datetime-local" }),
        field("Before", "to", { type: "datetime-local" })),
      el("div", { class: "actions" },
        el("button", { class: "button", type: "button", onclick: () => this.#go({}) }, "Clear"),
        el("button", { class: "button primary", type: "submit" }, "Search")),
      (data) => this.#go(entered(data)), { class: "form search audit", role: "search", "aria-label": "Audit log" });
    place.replaceChildren(
      el("div", { class: "greeting" }, el("h1", {}, "Audit log")),
      el("section", { class: "card", "aria-label": "Audit log" }, this.#form, this.#note, this.#list));
  }

  close() {
    this.#loading.abort();
  }

  /**
   * Shows the entries that match.
   * @param {URLSearchParams} query
   */
  show(query) {
    this.#filters = Object.fromEntries(AUDIT_FILTERS.map((name) => [name, query.get(name) ?? ""]));
    for (const input of /** @type {HTMLCollectionOf<HTMLInputElement>} */ (this.#form.elements)) {
      if (input.name) input.value = shownIn(input, this.#filters[input.name]);
    }
    this.#load();
  }

  /**
   * The same filters again find what has been added.
   * @param {Record<string, string>} filters
   */
  #go(filters) {
    const address = auditAddress(filters);
    if (address === auditAddress(this.#filters)) this.#load();
    else location.hash = address;
  }

  async #load() {
    this.#loading.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    replace(this.#note, "Loading…");
    try {
      await this.#show([], await this.#page(null, signal), signal);
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      replace(this.#note, Object.values(problem.fields)[0] ?? problem.message);
      replace(this.#list);
    }
  }

  /**
   * @param {string | null} cursor
   * @param {AbortSignal} signal
   * @returns {Promise<PageOf<AuditEntry>>}
   */
  #page(cursor, signal) {
    const query = new URLSearchParams(Object.entries(this.#filters).filter(([, value]) => value));
    query.set("limit", /** @type {any} */ (PAGE));
    if (cursor) query.set("cursor", cursor);
    return get(`/v1/admin/audit?${query}`, { signal });
  }

  /**
   * @param {AuditEntry[]} before
   * @param {PageOf<AuditEntry>} page
   * @param {AbortSignal} signal
   */
  async #show(before, { items, next_cursor: cursor }, signal) {
    const all = [...before, ...items];
    const entries = await auditEntries(all);
    if (signal.aborted) return;
    const more = async () => this.#show(all, await this.#page(cursor, signal), signal);
    replace(this.#note, `${cursor ? "The newest " : ""}${plural(all.length, "entry", "entries")}.`);
    replace(this.#list, entries,
      cursor && el("div", { class: "more" }, el("button", { class: "button small", type: "button", "data-key": "more-audit", onclick: (event) => busy(event.currentTarget, more) }, "Show more")));
    if (before.length) {
      const next = /** @type {HTMLElement | undefined} */ (this.#list.querySelectorAll("tbody tr")[before.length]);
      if (next) { next.tabIndex = -1; next.focus(); }
    }
  }
}

/**
 * A table of entries of the audit log, with the names of the operators who acted.
 * @param {AuditEntry[]} items
 */
export async function auditEntries(items) {
  if (!items.length) return el("p", { class: "empty" }, "No entry matches.");
  const operators = items.filter(({ actor_id: id, actor_role: role }) => id && role && role !== "user").map(({ actor_id: id }) => /** @type {string} */ (id));
  const names = await namesOf(operators);
  return stackedTable(TITLES, items.map((entry) => row(entry, names)));
}

/**
 * @param {string} key
 * @param {string} id
 * @param {string} [text]
 */
const person = (key, id, text) => el("a", { href: userAddress(id), "data-key": key, class: text ? null : "mono small" }, text ?? id);

/**
 * @param {AuditEntry} entry
 * @param {Record<string, string>} names
 */
function row({ id, action, actor_id: actor, actor_role: role, subject_id: subject, detail, address, created_at: at }, names) {
  const who = actor ? ["by ", person(`actor-${id}`, actor, names[actor]), role && role !== "user" && ` (${role})`] : ["anonymous"];
  return stackedRow({ "data-entry": id },
    stackedCell("named", el("code", {}, action)),
    stackedCell("named", who, subject && subject !== actor && [" about ", person(`subject-${id}`, subject)],
      detail && el("span", { class: "exact muted small" }, detail)),
    stackedCell("muted", since(at), el("span", { class: "exact small" }, whenExactly(at))),
    stackedCell("muted named", address ?? ""));
}
