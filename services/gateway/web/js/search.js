// A search of the operators: its form, the number of results, and their list, page by page. Its filters are in the address.
import { get, Problem } from "./api.js";
import { busy, el, replace } from "./dom.js";
import { entered, shownIn } from "./filters.js";
import { form } from "./forms.js";

/** @import { Child } from "./dom.js" */
/** @typedef {Record<string, string>} Filters */

/**
 * What is searched. `prepare` runs beside each search. `shown` is told what the list has, nothing if it cannot be read.
 * @template Item
 * @typedef {object} Searched
 * @property {string} title
 * @property {string} path its address in the API
 * @property {string[]} filters their names, as in the API
 * @property {(filters: Filters) => string} address its address on the page
 * @property {Child} fields of the form
 * @property {string} [look] the class of the form
 * @property {(items: Item[], isMore: boolean, filters: Filters) => Child[]} note
 * @property {(items: Item[]) => Element | Promise<Element>} table
 * @property {string} none what the list says if it is empty
 * @property {(signal: AbortSignal) => Promise<unknown>} [prepare]
 * @property {(items: Item[], filters: Filters) => void} [shown]
 */

const PAGE = 50;

/** @template Item */
export class Search {
  #searched;
  #loading = new AbortController();
  /** @type {Filters} */
  #filters = {};
  #form;
  #note = el("p", { class: "muted small result-note", role: "status" });
  #list = el("div");

  /**
   * @param {Element} place
   * @param {Searched<Item>} searched
   * @param {...Element} above what is between the note and the list
   */
  constructor(place, searched, ...above) {
    this.#searched = searched;
    this.#form = form(searched.fields,
      el("div", { class: "actions" },
        el("button", { class: "button", type: "button", onclick: () => this.#go({}) }, "Clear"),
        el("button", { class: "button primary", type: "submit" }, "Search")),
      (data) => this.#go({ ...this.#filters, ...entered(data) }),
      { class: `form search ${searched.look ?? ""}`.trim(), role: "search", "aria-label": searched.title });
    place.replaceChildren(
      el("div", { class: "greeting" }, el("h1", {}, searched.title)),
      el("section", { class: "card", "aria-label": searched.title }, this.#form, this.#note, above, this.#list));
  }

  close() {
    this.#loading.abort();
  }

  /**
   * Shows the results of an address.
   * @param {URLSearchParams} query
   */
  show(query) {
    this.#filters = Object.fromEntries(this.#searched.filters.map((name) => [name, query.get(name) ?? ""]));
    for (const input of /** @type {HTMLCollectionOf<HTMLInputElement>} */ (this.#form.elements)) {
      if (input.name) input.value = shownIn(input, this.#filters[input.name]);
    }
    this.load();
  }

  /**
   * The same search again finds what has changed.
   * @param {Filters} filters
   */
  #go(filters) {
    const address = this.#searched.address(filters);
    if (address === this.#searched.address(this.#filters)) this.load();
    else location.hash = address;
  }

  /** Reads the first page, again if it was read before. */
  async load() {
    this.#loading.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    replace(this.#note, "Loading…");
    try {
      const [page] = await Promise.all([this.#page(null, signal), this.#searched.prepare?.(signal)]);
      await this.#show([], page, signal);
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      replace(this.#note, Object.values(problem.fields)[0] ?? problem.message);
      this.#searched.shown?.([], this.#filters);
      replace(this.#list);
    }
  }

  /**
   * @param {string | null} cursor
   * @param {AbortSignal} signal
   * @returns {Promise<PageOf<Item>>}
   */
  #page(cursor, signal) {
    const query = new URLSearchParams(Object.entries(this.#filters).filter(([, value]) => value));
    query.set("limit", String(PAGE));
    if (cursor) query.set("cursor", cursor);
    return get(`${this.#searched.path}?${query}`, { signal });
  }

  /**
   * @param {Item[]} before
   * @param {PageOf<Item>} page
   * @param {AbortSignal} signal
   */
  async #show(before, { items, next_cursor: cursor }, signal) {
    const { note, table, none, shown } = this.#searched;
    const all = [...before, ...items];
    const list = all.length ? await table(all) : el("p", { class: "empty" }, none);
    if (signal.aborted) return;
    const more = async () => this.#show(all, await this.#page(cursor, signal), signal);
    replace(this.#note, ...note(all, Boolean(cursor), this.#filters));
    shown?.(all, this.#filters);
    replace(this.#list, list,
      cursor && el("div", { class: "more" }, el("button", { class: "button small", type: "button", "data-key": "show-more", onclick: (event) => busy(event.currentTarget, more) }, "Show more")));
    if (before.length) focusRow(/** @type {HTMLElement | undefined} */ (this.#list.querySelectorAll("tbody tr")[before.length]));
  }
}

/**
 * Moves the focus to the first link of a row, or to the row itself.
 * @param {HTMLElement | undefined} row
 */
function focusRow(row) {
  const target = row?.querySelector("a") ?? row;
  if (!target) return;
  if (target === row) target.tabIndex = -1;
  target.focus();
}
