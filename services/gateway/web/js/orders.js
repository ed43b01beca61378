// The recent orders, their actions, and older ones on request.
import { call, get } from "./api.js";
import { busy, complain, confirmed, el, openDialog, toast } from "./dom.js";
import { offers } from "./features.js";
import { money, plural, shortId, when, whenExactly } from "./format.js";
import { openOrderForm } from "./order-form.js";
import { panelCard } from "./panels.js";
import { claims } from "./session.js";

const LOOK = { created: ["info", "Open"], paid: ["good", "Paid"], shipped: ["", "Shipped"], cancelled: ["bad", "Cancelled"] };
const AT_FIRST = 8;
const A_PAGE = 50;

export const statusChip = (status) => el("span", { class: `chip ${LOOK[status]?.[0] ?? ""}` }, LOOK[status]?.[1] ?? status);

export function ordersCard(panels) {
  /** Orders that were loaded in addition to the panel's, and the next cursor, by status; "" is all of them. */
  const views = {};
  const seen = new Set();
  let wanted = "";
  let shown = AT_FIRST;
  const open = (status) => { views[status] = { status, orders: new Map(), cursor: undefined }; };
  open(wanted);

  const redraw = () => panels.dispatchEvent(new CustomEvent("orders"));
  const more = async () => {
    const view = views[wanted];
    const next = shown + (shown === AT_FIRST ? 12 : A_PAGE);
    if (next > all(panels, view).length) await load(view);
    shown = next;
    redraw();
  };
  const load = async (view) => {
    if (view.cursor === null || !offers("GET /v1/orders")) return;
    const query = new URLSearchParams({ limit: A_PAGE });
    if (view.status) query.set("status", view.status);
    if (view.cursor) query.set("cursor", view.cursor);
    const page = await get(`/v1/orders?${query}`);
    for (const order of page.items) { view.orders.set(order.id, order); seen.add(order.id); }
    view.cursor = page.next_cursor;
  };
  const choose = async (status) => {
    wanted = status;
    shown = AT_FIRST;
    if (status) open(status);
    redraw();
    try {
      if (status) await load(views[status]);
    } catch (problem) {
      complain(problem);
      if (wanted === status) wanted = choice.value = "";
    }
    redraw();
  };
  const change = (order) => {
    for (const { orders } of Object.values(views)) if (orders.has(order.id)) orders.set(order.id, order);
    panels.patch("orders", (orders) => orders.map((each) => (each.id === order.id ? { ...each, status: order.status } : each)));
  };
  const choice = offers("GET /v1/orders") && el("select", { class: "choice", "aria-label": "Which orders", onchange: (event) => choose(event.target.value) },
    el("option", { value: "" }, "All"), Object.entries(LOOK).map(([status, [, words]]) => el("option", { value: status }, words)));

  return panelCard(panels, "orders", "Recent orders", (recent) => {
    const view = views[wanted];
    const orders = all(panels, view);
    if (!orders.length) return wanted ? none(view) : nothing(panels);
    const first = seen.size === 0;
    const rows = orders.slice(0, shown).map((order) => row(order, change, !first && !seen.has(order.id)));
    for (const order of orders) seen.add(order.id);
    const isMore = shown < orders.length || (offers("GET /v1/orders") && view.cursor !== null && (wanted !== "" || recent.length >= 20));
    return [
      el("table", { class: "orders", role: "table" },
        el("thead", {}, el("tr", {}, ["Order", "Placed", "Items"].map((title) => el("th", { scope: "col" }, title)),
          el("th", { scope: "col", class: "right" }, "Total"), el("th", { scope: "col" }, "Status"),
          el("th", {}, el("span", { class: "hidden-text" }, "Actions")))),
        el("tbody", { role: "rowgroup" }, rows)),
      isMore && el("div", { class: "more" },
        el("button", { class: "button small", type: "button", "data-key": "more", onclick: (event) => busy(event.currentTarget, more) }, "Show more")),
    ];
  }, { head: [choice], flush: true });
}

/** The panel's orders and the older ones of that status, each once, newest first; the panel's version of an order wins. */
function all(panels, { status, orders }) {
  const byId = new Map([...orders, ...(panels.of("orders")?.data ?? []).map((order) => [order.id, order])]);
  return [...byId.values()].filter((order) => !status || order.status === status).sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
}

const none = ({ status, cursor }) => el("p", { class: "empty" }, cursor === undefined ? "Looking…" : `No order is ${LOOK[status][1].toLowerCase()}.`);

const nothing = (panels) => el("div", { class: "empty" },
  el("p", {}, "No orders yet."),
  offers("POST /v1/orders") && el("button", { class: "button", type: "button", onclick: () => openOrderForm(panels) }, "Place the first one"));

function row(order, change, isNew) {
  return el("tr", { role: "row", class: isNew ? "new" : null, "data-order": order.id },
    el("td", { role: "cell", class: "id" }, offers("GET /v1/orders/{id}") ? el("button", {
      class: "link mono", type: "button", "data-key": `order-${order.id}`, "aria-label": `Order ${shortId(order.id)}: details`,
      onclick: () => details(order.id),
    }, shortId(order.id)) : el("span", { class: "mono" }, shortId(order.id))),
    el("td", { role: "cell", class: "when muted" }, el("time", { datetime: order.created_at, title: whenExactly(order.created_at) }, when(order.created_at))),
    el("td", { role: "cell", class: "count-of muted" }, plural(order.item_count, "item")),
    el("td", { role: "cell", class: "total right" }, money(order.total, order.currency)),
    el("td", { role: "cell", class: "status" }, statusChip(order.status)),
    el("td", { role: "cell", class: "do" }, actions(order, change)));
}

function actions(order, change) {
  const buttons = [];
  const name = shortId(order.id);
  if (order.status === "created" && offers("POST /v1/orders/{id}/pay")) {
    buttons.push(el("button", { class: "button small", type: "button", "data-key": `pay-${order.id}`, "aria-label": `Pay order ${name}`, onclick: (event) => busy(event.currentTarget, () => move(order, "pay", "has been paid", change)) }, "Pay"));
  }
  if (order.status === "paid" && claims().role === "admin" && offers("POST /v1/orders/{id}/ship")) {
    buttons.push(el("button", { class: "button small", type: "button", "data-key": `ship-${order.id}`, "aria-label": `Ship order ${name}`, onclick: (event) => busy(event.currentTarget, () => move(order, "ship", "has been shipped", change)) }, "Ship"));
  }
  if (["created", "paid"].includes(order.status) && offers("POST /v1/orders/{id}/cancel")) {
    buttons.push(el("button", { class: "button small", type: "button", "data-key": `cancel-${order.id}`, "aria-label": `Cancel order ${name}`, onclick: (event) => busy(event.currentTarget, () => cancel(order, change)) }, "Cancel"));
  }
  return buttons.length ? el("span", { class: "buttons" }, buttons) : null;
}

async function cancel(order, change) {
  const sure = await confirmed(`Cancel order ${shortId(order.id)}?`, `The order total is ${money(order.total, order.currency)}. This cannot be undone.`, "Cancel the order");
  if (sure) await move(order, "cancel", "has been cancelled", change);
}

async function move(order, action, done, change) {
  const moved = await (await call("POST", `/v1/orders/${order.id}/${action}`)).json();
  change(moved);
  toast(`Order ${shortId(order.id)} ${done}.`);
}

function details(id) {
  openDialog(`Order ${shortId(id)}`, () => {
    const body = el("div", { "aria-live": "polite" }, el("p", { class: "muted" }, "Loading…"));
    get(`/v1/orders/${id}`).then((order) => body.replaceChildren(...lines(order)), (problem) => body.replaceChildren(el("p", { class: "form-error" }, problem.message)));
    return body;
  }, { wide: true });
}

function lines(order) {
  return [
    el("dl", { class: "facts" },
      el("dt", {}, "Status"), el("dd", {}, statusChip(order.status)),
      el("dt", {}, "Placed"), el("dd", {}, whenExactly(order.created_at)),
      el("dt", {}, "Number"), el("dd", { class: "mono small" }, order.id)),
    el("div", { class: "scroll" }, el("table", {},
      el("thead", {}, el("tr", {}, el("th", {}, "Item"), el("th", { class: "right" }, "Quantity"), el("th", { class: "right" }, "Price"), el("th", { class: "right" }, "Sum"))),
      el("tbody", {}, order.items.map((item) => el("tr", {},
        el("td", {}, item.name, el("br"), el("span", { class: "muted small mono" }, item.sku)),
        el("td", { class: "right" }, String(item.quantity)),
        el("td", { class: "right" }, money(item.unit_price, order.currency)),
        el("td", { class: "right" }, money(item.unit_price * item.quantity, order.currency))))))),
    el("p", { class: "sum" }, "Total", el("strong", {}, money(order.total, order.currency))),
  ];
}
