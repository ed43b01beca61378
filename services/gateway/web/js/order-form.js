// A new order with one or several lines.
import { newKey, postOnce, Problem } from "./api.js";
import { el, icon, openDialog, toast } from "./dom.js";
import { field, form } from "./forms.js";
import { decimals, money, shortId, toMinor } from "./format.js";

const CURRENCIES = ["EUR", "USD", "GBP", "CHF", "SEK", "PLN", "JPY"];
const MOST_LINES = 100;

/** @import { Panels } from "./panels.js" */
/** @import { Attributes } from "./dom.js" */

/** @param {Panels} panels */
export function openOrderForm(panels) {
  openDialog("New order", (close) => orderForm(panels, close), { wide: true });
}

/**
 * @param {Panels} panels
 * @param {() => void} close
 */
function orderForm(panels, close) {
  /** The same order sent twice is one order: a key belongs to the content of the form. */
  let sent = { key: newKey(), body: "" };
  const lines = el("div", { class: "lines" });
  const total = el("strong", {}, "–");
  const waiting = el("p", { class: "muted small", role: "status", hidden: true }, "The server does not answer yet. Trying again…");
  const currency = field("Currency", "currency", { options: CURRENCIES.map((code) => [code, code]) });

  const node = form(
    [
      currency,
      lines,
      el("div", {}, el("button", { class: "button small", type: "button", onclick: () => add(true) }, icon("plus"), "Add a line")),
      el("p", { class: "sum" }, "Total", total),
      waiting,
    ],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Cancel"),
      el("button", { class: "button primary", type: "submit" }, "Place order")),
    async () => {
      const order = read(node, lines);
      const body = JSON.stringify(order);
      if (body !== sent.body) sent = { key: sent.body ? newKey() : sent.key, body };
      const placed = await place(order, sent.key, waiting);
      close();
      toast(`Order ${shortId(placed.id)} has been placed.`);
      panels.patch("orders", (/** @type {OrderSummary[]} */ orders) => (orders.some(({ id }) => id === placed.id) ? orders : [placed, ...orders]));
    });

  const add = (/** @type {boolean} */ focus) => {
    if (lines.childElementCount >= MOST_LINES) return;
    const made = line(update);
    lines.append(made);
    if (focus) made.querySelector("input")?.focus();
    update();
  };
  const update = () => {
    const { value } = currencyOf(node);
    for (const price of /** @type {NodeListOf<HTMLInputElement>} */ (lines.querySelectorAll("[data-price]"))) {
      price.placeholder = (0).toFixed(decimals(value));
      price.setCustomValidity(Number.isNaN(toMinor(price.value, value)) ? `Enter an amount such as ${example(decimals(value))}.` : "");
    }
    const sum = [...lines.children].reduce((all, each) => all + amount(each, value), 0);
    total.textContent = Number.isSafeInteger(sum) ? money(sum, value) : "–";
    const alone = lines.childElementCount === 1;
    for (const remove of /** @type {NodeListOf<HTMLButtonElement>} */ (lines.querySelectorAll(".icon-button"))) remove.disabled = alone;
  };
  node.addEventListener("input", update);
  add(false);
  return node;
}

/**
 * Repeats the request with the same key until there is a response: the order is placed once.
 * @param {{currency: string, items: OrderItem[]}} order
 * @param {string} key
 * @param {HTMLElement} waiting
 */
async function place(order, key, waiting) {
  try {
    return await postOnce("/v1/orders", order, key, { isWanted: () => waiting.isConnected, waiting: () => { waiting.hidden = false; } });
  } catch (problem) {
    if (problem instanceof Problem && problem.isTemporary) problem.message = "The server does not answer. You can place the order again: it is placed only once.";
    throw problem;
  } finally {
    waiting.hidden = true;
  }
}

/** @param {() => void} update is called after the line has been removed */
function line(update) {
  const named = (/** @type {string} */ label, /** @type {string} */ name, /** @type {Attributes} */ attributes, wide = false) => {
    const made = field(label, `${name}`, attributes);
    if (wide) made.classList.add("wide");
    return made;
  };
  const made = el("fieldset", { class: "line" },
    named("Item", "name", { required: true, maxlength: 200, "data-part": "name" }, true),
    named("SKU", "sku", { required: true, maxlength: 64, "data-part": "sku" }, true),
    named("Quantity", "quantity", { required: true, type: "number", min: 1, max: 10000, step: 1, value: 1, inputmode: "numeric", "data-part": "quantity" }),
    named("Price each", "unit_price", { required: true, inputmode: "decimal", "data-part": "unit_price", "data-price": true }),
    el("button", { class: "icon-button", type: "button", "aria-label": "Remove this line", onclick: () => { const next = made.nextElementSibling ?? made.previousElementSibling; made.remove(); update(); next?.querySelector("input")?.focus(); } }, icon("close")));
  return made;
}

/** @param {HTMLFormElement} node */
const currencyOf = (node) => /** @type {HTMLSelectElement} */ (node.elements.namedItem("currency"));

/**
 * @param {Element} line
 * @param {string} name
 */
const part = (line, name) => /** @type {HTMLInputElement} */ (line.querySelector(`[data-part=${name}]`));

/**
 * @param {Element} line
 * @param {string} currency
 */
const amount = (line, currency) => Number(part(line, "quantity").value) * toMinor(part(line, "unit_price").value, currency);

/**
 * An amount with as many decimals as its currency has.
 * @param {number} digits
 */
const example = (digits) => (1250 / 10 ** digits).toFixed(digits);

/**
 * The order in the form, once all fields are valid.
 * @param {HTMLFormElement} node
 * @param {Element} lines
 */
function read(node, lines) {
  const currency = currencyOf(node).value;
  const items = [...lines.children].map((each) => ({
    sku: part(each, "sku").value.trim(),
    name: part(each, "name").value.trim(),
    quantity: Number(part(each, "quantity").value),
    unit_price: toMinor(part(each, "unit_price").value, currency),
  }));
  return { currency, items };
}
