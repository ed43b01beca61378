// The account of the signed-in user, as `GET /v1/me` has it.
import { call, get, Problem } from "./api.js";
import { offers } from "./features.js";
import { HAS_ACCOUNTS } from "./session.js";

/**
 * @typedef {object} Profile
 * @property {string} id
 * @property {string} email
 * @property {boolean} email_verified
 * @property {boolean} has_password  without one, the account is only opened by an identity provider
 * @property {string | null} pending_email  a new address, until it is confirmed
 * @property {string} name
 * @property {string} role
 * @property {string | null} avatar_url
 * @property {string} created_at
 */

/** Dispatches `change` when the account is known, and when it has been read or changed. */
export class Me extends EventTarget {
  /** @type {Profile | null} */
  value = null;
  #ended = new AbortController();

  constructor() {
    super();
    if (!HAS_ACCOUNTS || !offers("GET /v1/me")) return;
    // The address may be confirmed in another tab or on another device.
    const returns = () => { if (!document.hidden && this.value && (!this.value.email_verified || this.value.pending_email)) this.refresh(); };
    document.addEventListener("visibilitychange", returns, { signal: this.#ended.signal });
    addEventListener("focus", returns, { signal: this.#ended.signal });
    this.refresh();
  }

  /** Reads the account again; raises a `Problem`. */
  async reload() {
    this.#take(await get("/v1/me", { signal: this.#ended.signal }));
    return this.value;
  }

  /** Reads the account again, and keeps what is known if that is not possible. */
  async refresh() {
    try {
      await this.reload();
    } catch (failure) {
      if (!(failure instanceof Problem) && /** @type {Error} */ (failure).name !== "AbortError") throw failure;
    }
  }

  /**
   * Changes the account; raises a `Problem`.
   * @param {Record<string, unknown>} change
   */
  async change(change) {
    this.#take(await (await call("PATCH", "/v1/me", { json: change })).json());
  }

  close() {
    this.#ended.abort();
  }

  /**
   * An unchanged account is not told: what somebody is entering would be replaced.
   * @param {Profile} profile
   */
  #take(profile) {
    if (JSON.stringify(profile) === JSON.stringify(this.value)) return;
    this.value = profile;
    this.dispatchEvent(new Event("change"));
  }
}
