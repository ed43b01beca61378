// A new order, of one or several lines.
import { call, newKey } from "./api.js";
import { el, icon, openDialog, toast } from "./dom.js";
import { field, form, mark } from "./forms.js";
import { decimals, money, shortId, toMinor } from "./format.js";

const CURRENCIES = ["EUR", "USD", "GBP", "CHF", "SEK", "PLN", "JPY"];
const MOST_LINES = 100;

export function openOrderForm(panels) {
  openDialog("New order", (close) => orderForm(panels, close), { wide: true });
}

function orderForm(panels, close) {
  /** The same order sent twice is one order: a key stands for what is in the form, and for nothing else. */
  let sent = { key: newKey(), body: "" };
  const lines = el("div", { class: "lines" });
  const total = el("strong", {}, "–");
  const currency = field("Currency", "currency", { options: CURRENCIES.map((code) => [code, code]) });

  const node = form(
    [
      currency,
      lines,
      el("div", {}, el("button", { class: "button small", type: "button", onclick: () => add(true) }, icon("plus"), "Add a line")),
      el("p", { class: "sum" }, "Total", total),
    ],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Cancel"),
      el("button", { class: "button primary", type: "submit" }, "Place order")),
    async () => {
      const order = read(node, lines);
      if (order === null) return;
      const body = JSON.stringify(order);
      if (body !== sent.body) sent = { key: sent.body ? newKey() : sent.key, body };
      const placed = await place(order, sent.key);
      close();
      toast(`Order ${shortId(placed.id)} has been placed.`);
      panels.patch("orders", (orders) => (orders.some(({ id }) => id === placed.id) ? orders : [placed, ...orders]));
    });

  const add = (focus) => {
    if (lines.childElementCount >= MOST_LINES) return;
    const made = line(lines, update);
    lines.append(made);
    if (focus) made.querySelector("input").focus();
    update();
  };
  const update = () => {
    const { value } = node.elements.currency;
    for (const price of lines.querySelectorAll("[data-price]")) price.placeholder = decimals(value) ? (0).toFixed(decimals(value)) : "0";
    const sum = [...lines.children].reduce((all, each) => all + amount(each, value), 0);
    total.textContent = Number.isSafeInteger(sum) ? money(sum, value) : "–";
    const alone = lines.childElementCount === 1;
    for (const remove of lines.querySelectorAll(".icon-button")) remove.disabled = alone;
  };
  node.addEventListener("input", update);
  add(false);
  return node;
}

async function place(order, key) {
  const response = await call("POST", "/v1/orders", { json: order, headers: { "Idempotency-Key": key } });
  return response.json();
}

function line(lines, update) {
  const named = (label, name, attributes, wide = false) => {
    const made = field(label, `${name}`, attributes);
    if (wide) made.classList.add("wide");
    return made;
  };
  const made = el("fieldset", { class: "line" },
    named("Item", "name", { required: true, maxlength: 200, "data-part": "name" }, true),
    named("SKU", "sku", { required: true, maxlength: 64, "data-part": "sku" }, true),
    named("Quantity", "quantity", { required: true, type: "number", min: 1, max: 10000, step: 1, value: 1, inputmode: "numeric", "data-part": "quantity" }),
    named("Price each", "unit_price", { required: true, inputmode: "decimal", "data-part": "unit_price", "data-price": true }),
    el("button", { class: "icon-button", type: "button", "aria-label": "Remove this line", onclick: () => { made.remove(); update(); lines.querySelector("input").focus(); } }, icon("close")));
  return made;
}

const part = (line, name) => line.querySelector(`[data-part=${name}]`);
const amount = (line, currency) => Number(part(line, "quantity").value) * toMinor(part(line, "unit_price").value, currency);

/** The order in the form; null when a price in it is none, which is then said. */
function read(node, lines) {
  const currency = node.elements.currency.value;
  const items = [...lines.children].map((each) => ({
    sku: part(each, "sku").value.trim(),
    name: part(each, "name").value.trim(),
    quantity: Number(part(each, "quantity").value),
    unit_price: toMinor(part(each, "unit_price").value, currency),
  }));
  const wrong = items.findIndex((item) => Number.isNaN(item.unit_price));
  if (wrong < 0) return { currency, items };
  const input = part(lines.children[wrong], "unit_price");
  mark(input, "An amount, such as 12.50");
  input.focus();
  return null;
}
