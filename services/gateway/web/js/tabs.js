// The tabs of this browser that belong together, one of which leads.
//
// The leader says something every few seconds. If it is silent for longer, because it is frozen, another tab takes its
// place. With Web Locks a tab leads while it holds the lock; if it is closed or crashes, the browser gives the lock to
// the next tab at once. Without Web Locks (plain HTTP) a tab that hears no leader claims the place, and of two tabs the
// one with the lower id gets it.
import { newKey } from "./api.js";

const BEAT_MS = 3_000;
const SILENCE_MS = 10_000;
const CLAIM_MS = 500;

/**
 * Not the same for all tabs, so that they do not all act at once.
 * @param {number} ms
 */
const spread = (ms) => ms * (1 + Math.random() / 4);

/**
 * @typedef {object} Member what a tab does
 * @property {() => void} lead it leads from now on
 * @property {() => void} follow it no longer leads
 * @property {(message: any) => void} hear the leader has told something
 * @property {(id: string) => void} greet a tab has joined, and this one leads
 */

/** @typedef {{kind: "hello" | "claim" | "beat" | "left" | "told", from: string, to?: string | null, message?: any}} Post */

export class Tabs {
  #id = newKey();
  #name;
  #member;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** @type {AbortController | null} */
  #attempt = null;
  #isLeading = false;
  #isClaiming = false;
  #beats = 0;
  #watch = 0;
  #due = 0;

  /**
   * @param {string} name that of the group
   * @param {Member} member
   */
  constructor(name, member) {
    this.#name = name;
    this.#member = member;
  }

  join() {
    if (this.#channel) return;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    this.#post("hello");
    this.#expect(navigator.locks ? SILENCE_MS : CLAIM_MS);
    if (navigator.locks) this.#queue(false);
  }

  leave() {
    if (!this.#channel) return;
    if (this.#isLeading) this.#post("left");
    this.#follow();
    clearTimeout(this.#watch);
    const attempt = this.#attempt;
    this.#attempt = null;
    attempt?.abort();
    this.#channel.close();
    this.#channel = null;
  }

  /**
   * For the leader: tells all other tabs, or the one with the id `to`.
   * @param {any} message
   * @param {string | null} to
   */
  tell(message, to = null) {
    this.#post("told", { to, message });
  }

  /**
   * @param {Post["kind"]} kind
   * @param {Partial<Post>} more
   */
  #post(kind, more = {}) {
    this.#channel?.postMessage({ kind, from: this.#id, ...more });
  }

  /** @param {Post} post */
  #receive({ kind, from, to, message }) {
    if (kind === "hello") this.#greet(from);
    else if (kind === "claim") this.#hearClaim(from);
    else if (kind === "left") this.#expect(navigator.locks ? SILENCE_MS : CLAIM_MS); // a lock is passed on by the browser
    else if (this.#acceptsLeader(from) && message && (!to || to === this.#id)) this.#member.hear(message);
  }

  /** @param {string} id */
  #greet(id) {
    if (!this.#isLeading) return;
    this.#post("beat");
    this.#member.greet(id);
  }

  /** @param {string} from */
  #hearClaim(from) {
    if (this.#isLeading) this.#post("beat");
    else if (this.#isClaiming && this.#id < from) this.#post("claim");
    else this.#expect(SILENCE_MS);
  }

  /**
   * Whether this tab follows. If two tabs lead, the one with the lower id stays; a lock decides by itself.
   * @param {string} from
   */
  #acceptsLeader(from) {
    if (this.#isLeading && (navigator.locks || this.#id < from)) {
      if (!navigator.locks) this.#post("beat");
      return false;
    }
    this.#follow();
    this.#expect(SILENCE_MS);
    return true;
  }

  /**
   * Acts if nothing is heard of a leader for that long.
   * @param {number} ms
   */
  #expect(ms) {
    if (this.#isLeading) return;
    const wait = spread(ms);
    this.#isClaiming = false;
    clearTimeout(this.#watch);
    this.#due = Date.now() + wait;
    this.#watch = setTimeout(() => this.#miss(), wait);
  }

  #miss() {
    if (Date.now() > this.#due + BEAT_MS) this.#expect(SILENCE_MS); // this tab was frozen, and may have missed it
    else if (navigator.locks) this.#queue(true);
    else if (this.#isClaiming) this.#lead();
    else this.#claim();
  }

  #claim() {
    this.#post("claim");
    this.#expect(CLAIM_MS);
    this.#isClaiming = true;
  }

  /**
   * Leads as soon as the lock is free, or at once: `steal` takes it from a tab that is silent.
   * @param {boolean} steal
   */
  async #queue(steal) {
    this.#attempt?.abort();
    const attempt = (this.#attempt = new AbortController());
    const { signal } = attempt;
    try {
      await navigator.locks.request(this.#name, steal ? { steal } : { signal }, () => this.#hold(signal));
    } catch (failure) {
      if (!(failure instanceof DOMException && failure.name === "AbortError")) throw failure;
    }
    if (this.#attempt !== attempt) return; // this tab has left, or made another attempt
    this.#follow(); // another tab has taken the lock
    this.#expect(SILENCE_MS);
    this.#queue(false);
  }

  /** @param {AbortSignal} signal */
  #hold(signal) {
    if (signal.aborted) return undefined;
    this.#lead();
    return new Promise((release) => signal.addEventListener("abort", release));
  }

  #lead() {
    clearTimeout(this.#watch);
    this.#isClaiming = false;
    this.#isLeading = true;
    this.#post("beat");
    this.#beats = setInterval(() => this.#post("beat"), BEAT_MS);
    this.#member.lead();
  }

  #follow() {
    if (!this.#isLeading) return;
    this.#isLeading = false;
    clearInterval(this.#beats);
    this.#member.follow();
  }
}
