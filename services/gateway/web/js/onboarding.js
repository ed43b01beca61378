// What to do first, for an account without orders.
import { el } from "./dom.js";
import { hasPanel, offers } from "./features.js";
import { openOrderForm } from "./order-form.js";
import { HAS_ACCOUNT_PAGE } from "./profile.js";
import { linkTo } from "./router.js";

/** @import { Child } from "./dom.js" */
/** @import { Panels } from "./panels.js" */

/**
 * A card with the first steps, shown while the panel of orders is known to be empty; null if there are none.
 * @param {Panels} panels
 */
export function firstSteps(panels) {
  if (!hasPanel("orders")) return null;
  const steps = stepsOf(panels);
  if (!steps.length) return null;
  const card = el("section", { class: "card first-steps", "aria-label": "First steps", hidden: true },
    el("div", { class: "card-head" }, el("h2", {}, "First steps")),
    el("ol", {}, steps.map(([title, text, action]) => el("li", {},
      el("strong", {}, title), el("span", { class: "muted" }, text), action))));
  const show = () => {
    const known = panels.of("orders");
    card.hidden = known?.status !== "fresh" || known.data.length > 0;
  };
  panels.addEventListener("orders", show);
  return card;
}

/**
 * @param {Panels} panels
 * @returns {[string, string, Child][]}
 */
function stepsOf(panels) {
  const button = (/** @type {string} */ words, /** @type {() => void} */ work) => el("button", { class: "button small", type: "button", onclick: work }, words);
  return /** @type {[string, string, Child][]} */ ([
    offers("POST /v1/orders") && ["Place an order", "It appears at once in the list, in the figures and in your notifications.", button("Place an order", () => openOrderForm(panels))],
    offers("POST /v1/imports", "GET /v1/imports") && ["Bring your past orders", "Import them from a CSV file. The example file shows its columns.", button("Go to imports", () => goTo("Imports"))],
    offers("POST /v1/webhooks", "GET /v1/webhooks") && ["Tell your own server", "A webhook calls it when something happens to your orders.", button("Go to webhooks", () => goTo("Webhooks"))],
    HAS_ACCOUNT_PAGE && offers("GET /v1/me/notification-settings") && ["Choose your mails", "Decide which mails you want to receive.", linkTo("#/account", "Go to your account", { class: "button small" })],
  ].filter(Boolean));
}

/**
 * Moves to the first control of a card.
 * @param {string} title
 */
function goTo(title) {
  const card = document.querySelector(`section.card[aria-label="${title}"]`);
  card?.scrollIntoView({ block: "center" });
  /** @type {HTMLElement | null | undefined} */ (card?.querySelector("input, button"))?.focus({ preventScroll: true });
}
