// What can be done with an order, in the list of orders and on its own page.
import { call } from "./api.js";
import { busy, confirmed, el, toast } from "./dom.js";
import { offers } from "./features.js";
import { money, shortId } from "./format.js";
import { claims, HAS_ACCOUNTS } from "./session.js";

/** @type {Record<string, [string, string]>} */
const LOOK = { created: ["info", "Open"], paid: ["good", "Paid"], shipped: ["", "Shipped"], cancelled: ["bad", "Cancelled"] };

/** The words for each status, in the order of an order's life. */
export const STATUSES = Object.fromEntries(Object.entries(LOOK).map(([status, [, words]]) => [status, words]));

/** @param {string} status */
export const statusChip = (status) => el("span", { class: `chip ${LOOK[status]?.[0] ?? ""}` }, STATUSES[status] ?? status);

/**
 * The buttons of an order, or null if nothing can be done; `change(order)` receives the changed order.
 * @param {OrderSummary} order
 * @param {(order: OrderSummary) => void} change
 */
export function orderActions(order, change) {
  const button = (/** @type {string} */ key, /** @type {string} */ words, /** @type {() => Promise<void>} */ work) => el("button", {
    class: "button small", type: "button", "data-key": `${key}-${order.id}`, "aria-label": `${words} order ${shortId(order.id)}`,
    onclick: (event) => busy(event.currentTarget, work),
  }, words);
  const own = !HAS_ACCOUNTS || !order.user_id || order.user_id === claims().sub;
  const buttons = [
    own && order.status === "created" && offers("POST /v1/orders/{id}/pay")
      && button("pay", "Pay", () => move(order, "pay", "has been paid", change)),
    order.status === "paid" && claims().role === "admin" && offers("POST /v1/orders/{id}/ship")
      && button("ship", "Ship", () => move(order, "ship", "has been shipped", change)),
    own && ["created", "paid"].includes(order.status) && offers("POST /v1/orders/{id}/cancel")
      && button("cancel", "Cancel", () => cancel(order, change)),
  ].filter(Boolean);
  return buttons.length ? el("span", { class: "buttons" }, buttons) : null;
}

/**
 * @param {OrderSummary} order
 * @param {(order: OrderSummary) => void} change
 */
async function cancel(order, change) {
  const sure = await confirmed(`Cancel order ${shortId(order.id)}?`, `The order total is ${money(order.total, order.currency)}. This cannot be undone.`, "Cancel the order");
  if (sure) await move(order, "cancel", "has been cancelled", change);
}

/**
 * @param {OrderSummary} order
 * @param {string} action
 * @param {string} done
 * @param {(order: OrderSummary) => void} change
 */
async function move(order, action, done, change) {
  const moved = await (await call("POST", `/v1/orders/${order.id}/${action}`)).json();
  change(moved);
  toast(`Order ${shortId(order.id)} ${done}.`);
}
