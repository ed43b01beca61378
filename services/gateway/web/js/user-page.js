// One account, and for administrators what they may do with it.
import { get, post, Problem } from "./api.js";
import { auditEntries } from "./audit.js";
import { busy, confirmed, el, replace, toast } from "./dom.js";
import { offers } from "./features.js";
import { whenExactly } from "./format.js";
import { auditAddress, searchAddress } from "./job-addresses.js";
import { claims } from "./session.js";
import { since } from "./times.js";
import { accountChips } from "./users.js";

/** @import { Child } from "./dom.js" */

const RECENT = 10;

export class UserPage {
  #ended = new AbortController();
  #isAdmin;
  #id;
  #body = el("div", { class: "ops" }, el("p", { class: "empty whole" }, "Loading…"));
  #title = el("h1", { class: "named" }, "Account");

  /**
   * @param {Element} place
   * @param {boolean} isAdmin
   * @param {string} id
   */
  constructor(place, isAdmin, id) {
    this.#isAdmin = isAdmin;
    this.#id = id;
    place.replaceChildren(el("div", { class: "greeting" }, this.#title), this.#body);
    this.#load();
  }

  close() {
    this.#ended.abort();
  }

  async #load() {
    const { signal } = this.#ended;
    try {
      const recent = new URLSearchParams(/** @type {any} */ ({ subject_id: this.#id, limit: RECENT }));
      const [account, { items }] = await Promise.all([
        get(`/v1/admin/users/${this.#id}`, { signal }), get(`/v1/admin/audit?${recent}`, { signal })]);
      const entries = await auditEntries(items);
      if (!signal.aborted) this.#show(account, entries);
    } catch (problem) {
      if (signal.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      replace(this.#body, el("p", { class: "form-error whole" }, problem.message));
    }
  }

  /**
   * @param {AccountDetail} account
   * @param {Element} entries
   */
  #show(account, entries) {
    this.#title.textContent = account.email;
    replace(this.#body,
      card("Profile", el("div", { class: "card-body" }, el("p", { class: "job-state" }, accountChips(account)), facts(account),
        this.#isAdmin && this.#actions(account))),
      card("Audit log", entries, el("div", { class: "more" },
        el("a", { href: auditAddress({ subject_id: account.id }), "data-key": "all-audit" }, "All entries about this account"),
        el("a", { href: auditAddress({ actor_id: account.id }), "data-key": "own-audit" }, "What this account did"))));
  }

  /** @param {AccountDetail} account */
  #actions(account) {
    const action = (/** @type {string} */ name, /** @type {string} */ text, /** @type {string} */ look, /** @type {[string, string, string]} */ ask, /** @type {string} */ told) => offers(`POST /v1/admin/users/{id}/${name}`) && el("button", {
      class: `button small ${look}`, type: "button", "data-key": name, onclick: (event) => busy(event.currentTarget, async () => {
        if (!(await confirmed(...ask, "Not now"))) return;
        await post(`/v1/admin/users/${account.id}/${name}`);
        toast(told);
        await this.#load();
      }),
    }, text);
    const isOwn = account.id === claims().sub;
    return el("div", { class: "job-actions" },
      !account.suspended_at && action("reset-password", "Send a password reset", "",
        ["Send a link for a new password?", `It is mailed to ${account.email}, and is valid for an hour.`, "Send"],
        "The link is on its way."),
      !account.email_verified && action("verify", "Mark as verified", "",
        ["Mark the address as verified?", "Do this only if you know that it belongs to this person. All sessions of the account end.", "Mark as verified"],
        "The address is verified."),
      account.suspended_at
        ? action("unsuspend", "Unsuspend", "",
          ["Unsuspend this account?", "It can sign in again.", "Unsuspend"], "The account can sign in again.")
        : !isOwn && action("suspend", "Suspend", "danger",
          ["Suspend this account?", "Its sessions and live pages end at once, and it cannot sign in.", "Suspend"], "The account is suspended."));
  }
}

/**
 * @param {string} title
 * @param {...Child} content
 */
const card = (title, ...content) => el("section", { class: "card whole", "aria-label": title },
  el("div", { class: "card-head" }, el("h2", {}, title)), content);

/** @param {string | null} iso */
const at = (iso) => iso && el("span", {}, whenExactly(iso), " ", el("span", { class: "muted" }, "(", since(iso), ")"));

/** @param {AccountDetail} account */
function facts(account) {
  /** @type {[string, Child][]} */
  const known = [
    ["Name", account.name],
    ["Address", account.email],
    ["New address", account.pending_email && `${account.pending_email}, not confirmed yet`],
    ["Id", el("span", { class: "mono" }, account.id)],
    ["Sessions", String(account.sessions)],
    ["Registered", at(account.created_at)],
    ["Changed", at(account.updated_at)],
    ["Suspended", at(account.suspended_at)],
    ["Jobs", offers("GET /v1/admin/jobs") && el("a", { href: searchAddress({ user_id: account.id }), "data-key": "jobs" }, "Jobs of this account")],
  ];
  return el("dl", { class: "facts" }, known.filter(([, value]) => value).map(([title, value]) => [el("dt", {}, title), el("dd", {}, value)]).flat());
}
