// The dashboard of the signed-in user: the panels side by side, updated by the stream.
import { el } from "./dom.js";
import { atClock } from "./format.js";
import { chartCard, figuresCard } from "./figures.js";
import { notificationsCard } from "./notifications.js";
import { openOrderForm } from "./order-form.js";
import { ordersCard } from "./orders.js";
import { accountMenu, profileCard } from "./profile.js";
import { Panels } from "./panels.js";
import { sections } from "./sections.js";
import { Live } from "./stream.js";

const STATES = {
  connecting: "Connecting…",
  live: "Live",
  paused: "Updates delayed",
  away: "Reconnecting…",
};
const EXPLAINED = {
  live: "Changes appear at once.",
  paused: "The server does not hear of changes at the moment; it looks for them every half minute.",
  away: "The connection to the server is lost.",
};

export class Home {
  #panels = new Panels();
  #live = new Live();
  #status = document.getElementById("live");
  #account = document.getElementById("account");

  constructor(place) {
    const panels = this.#panels;
    this.#live.addEventListener("panel", ({ detail }) => panels.take(detail));
    this.#live.addEventListener("state", ({ detail }) => this.#showState(detail));
    this.#status.hidden = false;
    this.#account.hidden = false;
    this.#account.replaceChildren(accountMenu(panels));
    place.replaceChildren(
      greeting(panels),
      el("div", { class: "grid" },
        el("div", { class: "column" }, figuresCard(panels), chartCard(panels), ordersCard(panels)),
        el("div", { class: "column" }, profileCard(panels), notificationsCard(panels))),
      sections(this.#live));
    this.#showState({ state: "connecting" });
    this.#live.start();
  }

  close() {
    this.#live.stop();
    this.#status.hidden = true;
    this.#account.hidden = true;
    this.#account.replaceChildren();
    document.title = "Dashboard";
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
  }

  #showState({ state, again_at: again }) {
    this.#panels.live = state === "live";
    this.#status.dataset.state = state;
    this.#status.replaceChildren(el("span", { class: "words" }, STATES[state]));
    this.#status.title = again ? `${EXPLAINED[state]} Next attempt at ${atClock(again)}.` : EXPLAINED[state] ?? "";
  }
}

function greeting(panels) {
  const heading = el("h1", {}, "Your dashboard");
  panels.addEventListener("user", () => {
    const name = panels.of("user").data?.name;
    if (name) heading.textContent = `${salutation()}, ${name.trim().split(/\s+/)[0]}`;
  });
  return el("div", { class: "greeting" }, heading,
    el("button", { class: "button primary", type: "button", onclick: () => openOrderForm(panels) }, "New order"));
}

function salutation() {
  const hour = new Date().getHours();
  if (hour < 5 || hour >= 18) return "Good evening";
  return hour < 12 ? "Good morning" : "Good afternoon";
}
