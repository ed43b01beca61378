// The accounts, and the form that searches them. The search is in the address.
import { get, Problem } from "./api.js";
import { busy, el, replace } from "./dom.js";
import { field, form } from "./forms.js";
import { plural } from "./format.js";
import { userAddress, usersAddress } from "./job-addresses.js";
import { chip, stackedCell, stackedRow, stackedTable } from "./job-parts.js";
import { since } from "./times.js";

const PAGE = 50;
/** @type {[string][]} */
const TITLES = [["Account"], ["Id"], ["State"], ["Registered"]];

export class Users {
  #loading = new AbortController();
  #q = "";
  #form;
  #note = el("p", { class: "muted small result-note", role: "status" });
  #list = el("div");

  /** @param {Element} place */
  constructor(place) {
    this.#form = form(
      field("Address or id", "q", { type: "search", maxlength: 254, autocomplete: "off", spellcheck: "false" }, "The beginning of an e-mail address, or a complete id."),
      el("div", { class: "actions" },
        el("button", { class: "button", type: "button", onclick: () => this.#go("") }, "Clear"),
        el("button", { class: "button primary", type: "submit" }, "Search")),
      (data) => this.#go(/** @type {string} */ (data.get("q")).trim()), { class: "form search", role: "search", "aria-label": "Users" });
    place.replaceChildren(
      el("div", { class: "greeting" }, el("h1", {}, "Users")),
      el("section", { class: "card", "aria-label": "Users" }, this.#form, this.#note, this.#list));
  }

  close() {
    this.#loading.abort();
  }

  /**
   * Shows the results of a search.
   * @param {URLSearchParams} query
   */
  show(query) {
    this.#q = query.get("q") ?? "";
    /** @type {HTMLFormControlsCollection & {q: HTMLInputElement}} */ (this.#form.elements).q.value = this.#q;
    this.#load();
  }

  /**
   * The same search again finds what has changed.
   * @param {string} q
   */
  #go(q) {
    if (q === this.#q) this.#load();
    else location.hash = usersAddress(q);
  }

  async #load() {
    this.#loading.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    replace(this.#note, "Loading…");
    try {
      this.#show([], await this.#page(null, signal));
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      replace(this.#note, problem.message);
      replace(this.#list);
    }
  }

  /**
   * @param {string | null} cursor
   * @param {AbortSignal} signal
   * @returns {Promise<PageOf<Account>>}
   */
  #page(cursor, signal) {
    const query = new URLSearchParams(/** @type {any} */ ({ limit: PAGE, ...(this.#q ? { q: this.#q } : {}), ...(cursor ? { cursor } : {}) }));
    return get(`/v1/users?${query}`, { signal });
  }

  /**
   * @param {Account[]} before
   * @param {PageOf<Account>} page
   */
  #show(before, { items, next_cursor: cursor }) {
    const all = [...before, ...items];
    const { signal } = this.#loading;
    const more = async () => this.#show(all, await this.#page(cursor, signal));
    replace(this.#note, `${cursor ? "The newest " : ""}${plural(all.length, "account")}.`);
    replace(this.#list,
      all.length ? stackedTable(TITLES, all.map(row)) : el("p", { class: "empty" }, "No account matches."),
      cursor && el("div", { class: "more" }, el("button", { class: "button small", type: "button", "data-key": "more-users", onclick: (event) => busy(event.currentTarget, more) }, "Show more")));
    if (before.length) this.#list.querySelectorAll("a")[before.length]?.focus();
  }
}

/**
 * The chips of an account's role and state.
 * @param {Account} account
 */
export const accountChips = ({ role, email_verified: isVerified, suspended_at: suspendedAt }) => el("span", { class: "chips" },
  suspendedAt ? chip("bad", "Suspended") : isVerified ? chip("good", "Active") : chip("warn", "Not verified"),
  role !== "user" && chip("info", role === "admin" ? "Administrator" : "Support"));

/** @param {Account} user */
const row = (user) => stackedRow({ "data-user": user.id },
  stackedCell("named", el("a", { href: userAddress(user.id), "data-key": `user-${user.id}` }, user.email), el("span", { class: "exact muted small" }, user.name)),
  stackedCell("named mono small", user.id),
  stackedCell(null, accountChips(user)),
  stackedCell("muted", since(user.created_at)));
