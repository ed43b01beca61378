// The live stream of this browser: one tab reads it from the gateway, and shares the events with the others.
import { subjectOf } from "./claims.js";
import { Connection } from "./connection.js";
import * as session from "./session.js";
import { Tabs } from "./tabs.js";

/** Changes with the messages, because tabs with another version of the page may be open. */
const GROUP = "live-1";
/** A hidden tab takes part for this long. */
const HIDDEN_MS = 30_000;

/**
 * The events of the stream while the user is signed in and the tab is visible. Dispatches the events of `Connection`
 * (`detail` is the data), whichever tab has it. A tab that is shown again receives what it has missed.
 */
export class Live extends EventTarget {
  /** @type {Connection | null} */
  #connection = null;
  /** @type {string | null} */
  #lastId = null;
  /** The latest event of each panel, with the time of its data. @type {Map<string, {at: number, detail: any}>} */
  #panels = new Map();
  #state = { state: "connecting" };
  #isReady = false;
  #hiding = 0;
  #ending = new AbortController();
  #tabs = new Tabs(`${GROUP} ${subjectOf(session.claims())}`, {
    lead: () => this.#connect(),
    follow: () => this.#disconnect(),
    hear: (message) => this.#hear(message),
    greet: (id) => this.#tabs.tell({ all: this.#snapshot() }, id),
  });

  start() {
    const { signal } = this.#ending;
    document.addEventListener("visibilitychange", () => this.#look(), { signal });
    document.addEventListener("freeze", () => this.#leave(), { signal });
    document.addEventListener("resume", () => this.#look(), { signal });
    addEventListener("pagehide", () => this.#leave(), { signal });
    addEventListener("pageshow", () => this.#look(), { signal }); // again, from the history
    this.#tabs.join();
    this.#look();
  }

  stop() {
    this.#ending.abort();
    clearTimeout(this.#hiding);
    this.#tabs.leave();
  }

  #look() {
    clearTimeout(this.#hiding);
    if (document.hidden) this.#hiding = setTimeout(() => this.#leave(), HIDDEN_MS);
    else this.#tabs.join();
  }

  #leave() {
    clearTimeout(this.#hiding);
    this.#tabs.leave();
    this.#take("state", { state: "connecting" });
  }

  #connect() {
    this.#connection = new Connection(this.#lastId, (name, detail, id) => {
      this.#tabs.tell({ name, detail, id });
      this.#take(name, detail, id);
    });
    this.#connection.start();
  }

  #disconnect() {
    this.#connection?.stop();
    this.#connection = null;
  }

  /** @param {any} message what a tab tells: one event, or `all` that a tab without events needs */
  #hear({ all, name, detail, id }) {
    if (all) this.#catchUp(all);
    else if (name === "signed-out") this.#checkSession();
    else this.#take(name, detail, id);
  }

  /** Another tab's session has ended: that of accounts is the same one. */
  #checkSession() {
    if (session.HAS_ACCOUNTS) session.renew(session.accessToken()).catch(() => {}); // a call of this tab will tell
  }

  /**
   * @param {string} name
   * @param {any} detail
   * @param {string | null} [id]
   */
  #take(name, detail, id) {
    if (id) this.#lastId = id;
    if (name === "panel") this.#panels.set(detail.panel, { at: Date.now() - (detail.age_ms ?? 0), detail });
    if (name === "state") this.#state = detail;
    if (name === "ready") this.#isReady = true;
    this.dispatchEvent(new CustomEvent(name, { detail }));
  }

  /** Everything that a tab without events needs. */
  #snapshot() {
    const panels = [...this.#panels.values()].map(({ at, detail }) => ({ ...detail, age_ms: Date.now() - at }));
    return { panels, state: this.#state, isReady: this.#isReady, id: this.#lastId };
  }

  /** @param {{panels: any[], state: {state: string}, isReady: boolean, id: string | null}} all */
  #catchUp({ panels, state, isReady, id }) {
    if (id === null || id !== this.#lastId) {
      for (const detail of panels) this.#take("panel", detail, id);
    }
    this.#take("state", state);
    if (isReady) this.#take("ready", {}, id);
  }
}
