// The dashboard of the signed-in user: the panels side by side, updated by the stream.
import { personOf } from "./claims.js";
import { dataCard } from "./data-card.js";
import { el } from "./dom.js";
import { hasPanel, offers, OTHER_PANELS } from "./features.js";
import { chartCard, figuresCard } from "./figures.js";
import { atClock } from "./format.js";
import { notificationsCard } from "./notifications.js";
import { firstSteps } from "./onboarding.js";
import { openOrderForm } from "./order-form.js";
import { ordersCard } from "./orders.js";
import { Me } from "./me.js";
import { accountMenu, profileCard } from "./profile.js";
import { Panels } from "./panels.js";
import { sections } from "./sections.js";
import { claims, HAS_ACCOUNTS } from "./session.js";
import { Live } from "./stream.js";
import { offerReload } from "./updates.js";
import { unverifiedBanner } from "./verification.js";

/** @import { Panel } from "./panels.js" */

/**
 * The cards of the panels that have their own, in two columns.
 * @type {[string, (panels: Panels) => HTMLElement][][]}
 */
const COLUMNS = [
  [["analytics", figuresCard], ["analytics", chartCard], ["orders", ordersCard]],
  [["user", profileCard], ["notifications", notificationsCard]],
];

/** @type {Record<string, string>} */
const STATES = {
  connecting: "Connecting…",
  live: "Live",
  paused: "Updates delayed",
  away: "Reconnecting…",
};
/** @type {Record<string, string>} */
const EXPLAINED = {
  live: "Changes appear at once.",
  paused: "The server does not hear of changes at the moment; it looks for them every half minute.",
  away: "The connection to the server is lost.",
};

export class Home {
  #panels = new Panels();
  #live = new Live();
  #ended = new AbortController();
  #status = /** @type {HTMLElement} */ (document.getElementById("live"));
  #account = /** @type {HTMLElement} */ (document.getElementById("account"));
  #me = new Me();
  #wasAway = false;
  #content;

  constructor() {
    const panels = this.#panels;
    this.#live.addEventListener("panel", (/** @type {Told} */ { detail }) => panels.take(detail));
    this.#live.addEventListener("ready", () => panels.settle());
    this.#live.addEventListener("reloaded", () => offerReload(this.#ended.signal));
    this.#live.addEventListener("state", (/** @type {Told} */ { detail }) => this.#showState(detail));
    this.#status.hidden = false;
    this.#account.hidden = false;
    this.#account.replaceChildren(accountMenu(panels));
    this.#content = /** @type {HTMLElement[]} */ ([unverifiedBanner(this.#me), greeting(panels), firstSteps(panels), ...grids(panels), sections(this.#live)].filter(Boolean));
    this.#showState({ state: "connecting" });
    this.#live.start();
  }

  /** The panels, which the live stream keeps up to date; for other views. */
  get panels() {
    return this.#panels;
  }

  get live() {
    return this.#live;
  }

  /** The account of the signed-in user. */
  get me() {
    return this.#me;
  }

  /**
   * Shows the dashboard, as it is now.
   * @param {Element} place
   */
  open(place) {
    place.replaceChildren(...this.#content);
    this.#panels.repaint();
  }

  close() {
    this.#live.stop();
    this.#me.close();
    this.#ended.abort();
    this.#status.hidden = true;
    this.#account.hidden = true;
    this.#account.replaceChildren();
    document.title = "Dashboard";
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  }

  /** @param {{state: string, again_at?: number}} told */
  #showState({ state, again_at: again }) {
    this.#panels.live = state === "live";
    if (state === "live" && this.#wasAway) offerReload(this.#ended.signal);
    this.#wasAway = state === "away" || (this.#wasAway && state !== "live");
    this.#status.dataset.state = state;
    this.#status.replaceChildren(el("span", { class: "words" }, STATES[state]));
    this.#status.title = again ? `${EXPLAINED[state]} Next attempt at ${atClock(again)}.` : EXPLAINED[state] ?? "";
  }
}

/** @param {Panels} panels */
function grids(panels) {
  const columns = COLUMNS
    .map((cards) => cards.filter(([name]) => hasPanel(name)).map(([, card]) => card(panels)))
    .filter((cards) => cards.length > 0)
    .map((cards) => el("div", { class: "column" }, cards));
  return [
    columns.length > 0 && el("div", { class: columns.length > 1 ? "grid" : "grid single" }, columns),
    OTHER_PANELS.length > 0 && el("div", { class: "panels" }, OTHER_PANELS.map((panel) => dataCard(panels, panel))),
  ].filter(Boolean);
}

/** @param {Panels} panels */
function greeting(panels) {
  const heading = el("h1", {}, "Your dashboard");
  const greet = (/** @type {string} */ name) => { heading.textContent = `${salutation()}, ${name.trim().split(/\s+/)[0]}`; };
  /** @type {{name?: string | null}} */
  const { name } = HAS_ACCOUNTS ? {} : personOf(claims());
  if (name) greet(name);
  if (HAS_ACCOUNTS && hasPanel("user")) {
    panels.addEventListener("user", () => {
      const known = /** @type {Panel} */ (panels.of("user")).data?.name;
      if (known) greet(known);
    });
  }
  const canOrder = hasPanel("orders") && offers("POST /v1/orders");
  return el("div", { class: "greeting" }, heading,
    canOrder && el("button", { class: "button primary", type: "button", onclick: () => openOrderForm(panels) }, "New order"));
}

function salutation() {
  const hour = new Date().getHours();
  if (hour < 5 || hour >= 18) return "Good evening";
  return hour < 12 ? "Good morning" : "Good afternoon";
}
