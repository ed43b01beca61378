// The recent orders, older ones on request, and a search for them.
import { get } from "./api.js";
import { busy, complain, el } from "./dom.js";
import { offers } from "./features.js";
import { money, plural, shortId, when, whenExactly } from "./format.js";
import { orderActions, statusChip, STATUSES } from "./order-actions.js";
import { openOrderForm } from "./order-form.js";
import { panelCard } from "./panels.js";
import { linkTo } from "./router.js";

/** @import { Child } from "./dom.js" */
/** @import { Panels } from "./panels.js" */
/** @typedef {{q?: string, status?: string, from?: string, to?: string}} Filter */
/** @typedef {{filter: Filter, orders: Map<string, OrderSummary>, cursor: string | null | undefined, shown: number, problem: string | null}} Opened */
/** @typedef {(order: OrderSummary) => void} Change */

const AT_FIRST = 8;
const A_PAGE = 50;
const A_PANEL = 20;
/** A page of a search may be empty: it is continued this often before the user is asked. */
const PAGES_AT_ONCE = 4;
const SEARCH_AFTER_MS = 300;

/**
 * Orders that were loaded in addition to the panel's; `cursor` is null after the last page.
 * @param {Filter} filter
 * @returns {Opened}
 */
const opened = (filter) => ({ filter, orders: new Map(), cursor: undefined, shown: AT_FIRST, problem: null });

/** @param {Filter} filter */
const isEmpty = (filter) => !Object.values(filter).some(Boolean);
/**
 * Of the panel's orders it is known whether they have the status; whether they match the rest, only the server knows.
 * @param {Filter} filter
 */
const isOfPanel = ({ q, from, to }) => !q && !from && !to;

/** @param {Panels} panels */
export function ordersCard(panels) {
  const recent = opened({});
  /** @type {Set<string>} */
  const seen = new Set();
  let view = recent;

  const redraw = () => panels.dispatchEvent(new CustomEvent("orders"));
  const more = async () => {
    const next = view.shown + (view.shown === AT_FIRST ? 12 : A_PAGE);
    if (next > all(panels, view).length) await load(view, seen);
    view.shown = next;
    redraw();
  };
  const search = async (/** @type {Filter} */ filter) => {
    const wanted = isEmpty(filter) ? recent : opened(filter);
    view = wanted;
    view.shown = AT_FIRST;
    redraw();
    if (wanted === recent) return;
    try {
      await load(wanted, seen);
    } catch (problem) {
      complain(problem);
      wanted.problem = /** @type {Error} */ (problem).message;
    }
    if (view === wanted) redraw();
  };
  const change = (/** @type {OrderSummary} */ order) => {
    for (const { orders } of [recent, view]) if (orders.has(order.id)) orders.set(order.id, order);
    panels.patch("orders", (/** @type {OrderSummary[]} */ orders) => orders.map((each) => (each.id === order.id ? { ...each, status: order.status } : each)));
  };

  const form = offers("GET /v1/orders") && searchForm(search);
  const card = panelCard(panels, "orders", "Orders", (/** @type {OrderSummary[]} */ panel) => {
    const orders = all(panels, view);
    if (form) form.hidden = view === recent && !orders.length;
    if (!orders.length) return view === recent ? nothing(panels) : none(view, more);
    const first = seen.size === 0;
    const rows = orders.slice(0, view.shown).map((order) => row(order, change, !first && !seen.has(order.id)));
    for (const order of orders) seen.add(order.id);
    const isMore = view.shown < orders.length || (offers("GET /v1/orders") && view.cursor !== null && (view !== recent || panel.length >= A_PANEL));
    return [table(rows), isMore && moreButton(more)];
  }, { flush: true });
  if (form) /** @type {Element} */ (card.querySelector(".card-head")).after(form);
  return card;
}

/**
 * Loads the next page of a view, or the next that has an order.
 * @param {Opened} view
 * @param {Set<string>} seen
 */
async function load(view, seen) {
  for (let pages = 0; pages < PAGES_AT_ONCE && view.cursor !== null && offers("GET /v1/orders"); pages++) {
    const query = new URLSearchParams(/** @type {any} */ ({ limit: A_PAGE }));
    for (const [name, value] of Object.entries(view.filter)) if (value) query.set(name, value);
    if (view.cursor) query.set("cursor", view.cursor);
    /** @type {PageOf<OrderSummary>} */
    const page = await get(`/v1/orders?${query}`);
    for (const order of page.items) { view.orders.set(order.id, order); seen.add(order.id); }
    view.cursor = page.next_cursor;
    if (page.items.length) return;
  }
}

/** @param {(filter: Filter) => void} search */
function searchForm(search) {
  let timer = 0;
  const text = el("input", { type: "search", name: "q", maxlength: 100, "aria-label": "Item or order number", placeholder: "Item or order number" });
  const status = el("select", { class: "choice", name: "status", "aria-label": "Which orders" },
    el("option", { value: "" }, "All"), Object.entries(STATUSES).map(([value, words]) => el("option", { value }, words)));
  const from = el("input", { type: "date", name: "from", "aria-label": "First day" });
  const to = el("input", { type: "date", name: "to", "aria-label": "Last day" });
  const clear = el("button", { class: "link small", type: "reset", hidden: true }, "Clear");
  const now = () => {
    clearTimeout(timer);
    const filter = { q: text.value.trim(), status: status.value, from: startOf(from.value), to: startOf(to.value, 1) };
    clear.hidden = isEmpty(filter);
    search(filter);
  };
  const form = el("form", { class: "search", role: "search", "aria-label": "Orders" }, text, status,
    el("span", { class: "dates" }, from, el("span", { class: "muted", "aria-hidden": "true" }, "–"), to), clear);
  text.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(now, SEARCH_AFTER_MS); });
  for (const input of [status, from, to]) input.addEventListener("change", now);
  form.addEventListener("submit", (event) => { event.preventDefault(); now(); });
  form.addEventListener("reset", () => setTimeout(() => { text.focus(); now(); }));
  return form;
}

/**
 * When a day begins here, `days` later; empty if there is no day.
 * @param {string} day
 * @param {number} days
 */
function startOf(day, days = 0) {
  if (!day) return "";
  const [year, month, date] = day.split("-").map(Number);
  const start = new Date(year, month - 1, date + days);
  start.setFullYear(year, month - 1, date + days); // years before 100 are otherwise those of the last century
  return start.toISOString();
}

/**
 * The orders of a view, newest first; the panel's version of an order wins.
 * @param {Panels} panels
 * @param {Opened} view
 */
function all(panels, { filter, orders }) {
  const ofPanel = /** @type {OrderSummary[]} */ (panels.of("orders")?.data ?? []).filter(({ id }) => isOfPanel(filter) || orders.has(id));
  const byId = new Map([...orders, ...ofPanel.map((order) => /** @type {[string, OrderSummary]} */ ([order.id, { ...orders.get(order.id), ...order }]))]);
  return [...byId.values()].filter((order) => !filter.status || order.status === filter.status).sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
}

/**
 * @param {Opened} view
 * @param {() => Promise<void>} more
 */
function none({ filter, cursor, problem }, more) {
  if (problem) return el("p", { class: "empty" }, problem);
  if (cursor === undefined) return el("p", { class: "empty" }, "Looking…");
  if (cursor !== null) return [el("p", { class: "empty" }, "Nothing found among the newer orders."), moreButton(more, "Search older ones")];
  return el("p", { class: "empty" }, isOfPanel(filter) ? `No order is ${STATUSES[/** @type {string} */ (filter.status)].toLowerCase()}.` : "No order matches.");
}

/**
 * @param {() => Promise<void>} more
 * @param {string} words
 */
const moreButton = (more, words = "Show more") => el("div", { class: "more" },
  el("button", { class: "button small", type: "button", "data-key": "more", onclick: (event) => busy(event.currentTarget, more) }, words));

/** @param {Panels} panels */
const nothing = (panels) => el("div", { class: "empty" },
  el("p", {}, "No orders yet."),
  offers("POST /v1/orders") && el("button", { class: "button", type: "button", onclick: () => openOrderForm(panels) }, "Place the first one"));

/** @param {Child} rows */
const table = (rows) => el("table", { class: "orders", role: "table" },
  el("thead", {}, el("tr", {}, ["Order", "Placed", "Items"].map((title) => el("th", { scope: "col" }, title)),
    el("th", { scope: "col", class: "right" }, "Total"), el("th", { scope: "col" }, "Status"),
    el("th", {}, el("span", { class: "hidden-text" }, "Actions")))),
  el("tbody", { role: "rowgroup" }, rows));

/**
 * @param {OrderSummary} order
 * @param {Change} change
 * @param {boolean} isNew
 */
function row(order, change, isNew) {
  return el("tr", { role: "row", class: isNew ? "new" : null, "data-order": order.id },
    el("td", { role: "cell", class: "id" }, offers("GET /v1/orders/{id}")
      ? linkTo(`#/orders/${order.id}`, shortId(order.id), { class: "mono", "data-key": `order-${order.id}`, "aria-label": `Order ${shortId(order.id)}: details` })
      : el("span", { class: "mono" }, shortId(order.id))),
    el("td", { role: "cell", class: "when muted" }, el("time", { datetime: order.created_at, title: whenExactly(order.created_at) }, when(order.created_at))),
    el("td", { role: "cell", class: "count-of muted" }, plural(order.item_count, "item")),
    el("td", { role: "cell", class: "total right" }, money(order.total, order.currency)),
    el("td", { role: "cell", class: "status" }, statusChip(order.status)),
    el("td", { role: "cell", class: "do" }, orderActions(order, change)));
}
