// The page of one order: its items, what happened to it, and what can be done.
import { get, isMissing, Problem } from "./api.js";
import { busy, el, replace } from "./dom.js";
import { offers } from "./features.js";
import { money, shortId, whenExactly } from "./format.js";
import { orderActions, statusChip } from "./order-actions.js";
import { linkTo } from "./router.js";
import { since } from "./times.js";

/** @import { Child } from "./dom.js" */

/** @type {Record<string, string>} */
const HAPPENED = { created: "Placed", paid: "Paid", shipped: "Shipped", cancelled: "Cancelled" };

/** @type {import("./router.js").View} */
export const orderView = {
  title: "Order",
  access: "signed-in",
  open(place, { params, home }) {
    const ended = new AbortController();
    const body = el("div", { class: "parts" }, el("p", { class: "muted", role: "status" }, "Loading…"));
    place.replaceChildren(el("div", { class: "thing-page" },
      el("p", { class: "small" }, linkTo("#/", "Dashboard")),
      el("h1", {}, "Order ", el("span", { class: "mono" }, shortId(params.id))), body));
    /** @type {Order | null} */
    let shown = null;

    const load = async () => {
      try {
        const [order, history] = await Promise.all([get(`/v1/orders/${params.id}`), historyOf(params.id)]);
        if (ended.signal.aborted) return;
        shown = order;
        replace(body, ...parts(order, history, changed));
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (!ended.signal.aborted) replace(body, failed(problem, load));
      }
    };
    const changed = async (/** @type {OrderSummary} */ order) => {
      home.panels.patch("orders", (/** @type {OrderSummary[]} */ orders) => orders.map((each) => (each.id === order.id ? { ...each, status: order.status } : each)));
      if (shown?.status !== order.status) await load();
    };
    home.panels.addEventListener("orders", () => {
      const known = home.panels.of("orders")?.data?.find((/** @type {OrderSummary} */ { id }) => id === params.id);
      if (shown && known && known.status !== shown.status) load();
    }, { signal: ended.signal });
    load();
    return () => ended.abort();
  },
};

/**
 * @param {string} id
 * @returns {Promise<OrderChange[]>}
 */
const historyOf = async (id) => (offers("GET /v1/orders/{id}/history") ? (await get(`/v1/orders/${id}/history`)).items : []);

/**
 * @param {Problem} problem
 * @param {() => Promise<void>} load
 */
const failed = (problem, load) => el("div", { class: "card" }, el("div", { class: "away" },
  el("p", {}, isMissing(problem) || problem.status === 422 ? "There is no such order in your account." : problem.message),
  !isMissing(problem) && problem.status !== 422 && el("button", { class: "button small", type: "button", "data-key": "retry", onclick: (event) => busy(event.currentTarget, load) }, "Try again")));

/**
 * @param {Order} order
 * @param {OrderChange[]} history
 * @param {(order: OrderSummary) => void} changed
 */
function parts(order, history, changed) {
  return [
    card("Status", [
      el("div", { class: "status-line" }, statusChip(order.status), orderActions(order, changed)),
      history.length > 0 && el("ol", { class: "history", "aria-label": "History" }, history.map(({ status, at }) => el("li", {},
        el("span", { class: "what" }, HAPPENED[status] ?? status),
        el("span", { class: "muted" }, `${whenExactly(at)} · `, since(at))))),
    ]),
    card("Items", [
      el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Items" }, el("table", {},
        el("thead", {}, el("tr", {}, el("th", {}, "Item"), ["Quantity", "Price", "Sum"].map((title) => el("th", { class: "right" }, title)))),
        el("tbody", {}, order.items.map((item) => el("tr", {},
          el("td", {}, item.name, el("br"), el("span", { class: "muted small mono" }, item.sku)),
          el("td", { class: "right" }, String(item.quantity)),
          el("td", { class: "right" }, money(item.unit_price, order.currency)),
          el("td", { class: "right" }, money(BigInt(item.unit_price) * BigInt(item.quantity), order.currency))))))),
      el("p", { class: "sum" }, "Total", el("strong", {}, money(order.total, order.currency))),
    ], true),
    card("Details", el("dl", { class: "facts" },
      el("dt", {}, "Placed"), el("dd", {}, whenExactly(order.created_at)),
      el("dt", {}, "Currency"), el("dd", {}, order.currency),
      el("dt", {}, "Number"), el("dd", { class: "mono small" }, order.id))),
  ];
}

/**
 * @param {string} title
 * @param {Child} children
 * @param {boolean} flush
 */
const card = (title, children, flush = false) => el("section", { class: "card", "aria-label": title },
  el("div", { class: "card-head" }, el("h2", {}, title)), el("div", { class: flush ? "card-body flush" : "card-body" }, children));
