// The state of each panel, and the card that shows it: its content, and how fresh that is.
import { get } from "./api.js";
import { busy, el, replace } from "./dom.js";
import { atClock, REASONS } from "./format.js";

/** @import { Child } from "./dom.js" */
/** @typedef {Omit<PanelState, "age_ms"> & {at: number}} Panel `at` is the time of the data */

/** Panels by name. */
export class Panels extends EventTarget {
  /** @type {Map<string, Panel>} */
  #known = new Map();
  #live = false;

  /** Whether changes arrive: only then does a fresh panel stay fresh. */
  get live() {
    return this.#live;
  }

  set live(live) {
    if (live === this.#live) return;
    this.#live = live;
    this.dispatchEvent(new CustomEvent("live"));
  }

  /** @param {string} name */
  of(name) {
    return this.#known.get(name);
  }

  /** Every panel that this user may see has been sent once. */
  settle() {
    this.dispatchEvent(new CustomEvent("settled"));
  }

  /** @param {PanelState & {panel: string}} told */
  take({ panel, status, age_ms: age, data, error }) {
    this.#known.set(panel, { status, data, error, at: Date.now() - (age ?? 0) });
    this.dispatchEvent(new CustomEvent(panel));
  }

  /** Shows every known panel again, in cards that have been away from the page. */
  repaint() {
    for (const name of this.#known.keys()) this.dispatchEvent(new CustomEvent(name));
  }

  /**
   * Shows a change before the server has confirmed it.
   * @param {string} name
   * @param {(data: any) => unknown} change
   */
  patch(name, change) {
    const known = this.#known.get(name);
    if (!known?.data) return;
    this.#known.set(name, { ...known, data: change(known.data) });
    this.dispatchEvent(new CustomEvent(name));
  }

  /**
   * Reads one panel again; raises a `Problem`.
   * @param {string} name
   */
  async reload(name) {
    const { panels } = await get(`/v1/dashboard?panels=${name}`, { headers: { "Cache-Control": "no-cache" } });
    this.take({ panel: name, ...panels[name] });
  }
}

let cards = 0;

/**
 * A card for one panel. `fill(data)` returns its content; `head` is next to the title.
 * @param {Panels} panels
 * @param {string} name
 * @param {string} title
 * @param {(data: any) => Child} fill
 * @param {{head?: Child, flush?: boolean}} options
 */
export function panelCard(panels, name, title, fill, { head = [], flush = false } = {}) {
  const freshness = el("span", { class: "freshness" });
  const note = el("div", { class: "stale-note", hidden: true });
  const body = el("div", { class: flush ? "card-body flush" : "card-body" });
  const heading = el("h2", { id: `card-${++cards}` }, title);
  const card = el("section", { class: "card", "aria-labelledby": heading.id, "data-panel": name },
    el("div", { class: "card-head" }, heading, head, el("span", { class: "grow" }), freshness), note, body);

  const show = () => {
    const known = panels.of(name);
    if (card.hidden) card.hidden = !known;
    card.dataset.status = known?.status ?? "loading";
    card.setAttribute("aria-busy", String(!known));
    note.hidden = known?.status !== "stale";
    body.hidden = false;
    if (!known) {
      replace(body, skeleton());
      return;
    }
    replace(freshness, freshnessOf(known, panels.live));
    if (known.status === "unavailable") {
      replace(body, away(panels, name, title, known.error));
      return;
    }
    replace(note, known.status === "stale" && [
      el("span", {}, `As it was at ${atClock(known.at)}: ${REASONS[known.error?.code ?? ""] ?? "it cannot be read now"}.`),
      retryButton(panels, name),
    ]);
    replace(body, fill(known.data));
  };
  panels.addEventListener(name, show);
  panels.addEventListener("settled", () => { card.hidden = !panels.of(name); }); // a panel of other roles
  panels.addEventListener("live", () => {
    const known = panels.of(name);
    if (known) replace(freshness, freshnessOf(known, panels.live));
  });
  show();
  return card;
}

/**
 * @param {Panel} panel
 * @param {boolean} live
 */
function freshnessOf({ status, at }, live) {
  const title = `read at ${atClock(at)}`;
  if (status === "fresh") return el("span", { title }, live ? "Up to date" : `As of ${atClock(at)}`);
  if (status === "stale") return el("span", { class: "chip warn", title }, "Stale");
  return el("span", { class: "chip bad" }, "Unavailable");
}

/**
 * @param {Panels} panels
 * @param {string} name
 * @param {string} title
 * @param {PanelState["error"]} error
 */
function away(panels, name, title, error) {
  return el("div", { class: "away" },
    el("p", {}, `${title} cannot be shown now: ${REASONS[error?.code ?? ""] ?? "something went wrong"}.`),
    error?.retryable !== false && el("p", { class: "small" }, "It comes back by itself as soon as it can be read."),
    retryButton(panels, name));
}

/**
 * @param {Panels} panels
 * @param {string} name
 */
function retryButton(panels, name) {
  const button = el("button", { class: "button small", type: "button", "data-key": `retry-${name}` }, "Try again");
  button.addEventListener("click", () => busy(button, () => panels.reload(name)));
  return button;
}

const skeleton = () => el("div", { class: "skeleton", "aria-label": "Loading", role: "img" }, el("i"), el("i"), el("i"));
