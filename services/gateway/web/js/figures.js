// The analytics: key figures, and the amounts of each day.
import { colorsOf } from "./colors.js";
import { el, replace } from "./dom.js";
import { count, day, money, plural, roundMoney, whenExactly } from "./format.js";
import { panelCard } from "./panels.js";
import { claims } from "./session.js";
import { since } from "./times.js";

const STATUS_WORDS = { created: "open", paid: "paid", shipped: "shipped", cancelled: "cancelled" };

export function figuresCard(panels) {
  return panelCard(panels, "analytics", "Key figures", (data) => el("dl", { class: "figures" },
    figure("Order value", ...amounts(data.revenue, data.by_currency), "without cancelled orders"),
    figure("Orders", count(data.orders), byStatus(data.by_status)),
    figure("Average order", ...amounts(data.average_order, data.by_currency)),
    figure("Last order", data.last_order_at ? since(data.last_order_at) : "–", data.last_order_at && whenExactly(data.last_order_at))),
    { flush: true });
}

function figure(label, value, ...notes) {
  return el("div", { class: "figure" }, el("dt", {}, label), el("dd", {}, value, notes.filter(Boolean).map((note) => el("small", {}, note))));
}

/** The amount in the currency of the most orders, with the others below it. */
function amounts(byCurrency, orders) {
  const currencies = byOrders(Object.keys(byCurrency ?? {}), orders);
  if (!currencies.length) return ["–"];
  const [first, ...others] = currencies.map((currency) => money(byCurrency[currency], currency));
  return [first, others.join(" · ")];
}

/** Currencies, those of many orders first: amounts of different currencies cannot be compared. */
const byOrders = (currencies, orders = {}) =>
  currencies.sort((a, b) => (orders[b] ?? 0) - (orders[a] ?? 0) || a.localeCompare(b));

const byStatus = (counts) => Object.entries(STATUS_WORDS)
  .filter(([status]) => counts?.[status])
  .map(([status, words]) => `${count(counts[status])} ${words}`)
  .join(" · ");

export function chartCard(panels) {
  const choice = el("div", { class: "segments", role: "group", "aria-label": "Currency", hidden: true });

  return panelCard(panels, "analytics", "Order value, last 30 days", (data) => {
    const currencies = byOrders([...new Set(data.daily.flatMap((each) => Object.keys(each.revenue ?? {})))], data.by_currency);
    const own = chosen.of(claims().sub);
    const currency = currencies.includes(own) ? own : currencies[0];
    choice.hidden = currencies.length < 2;
    replace(choice, currencies.map((each) => el("button", {
      type: "button", "data-key": each, "aria-pressed": String(each === currency),
      onclick: () => { chosen.keep(claims().sub, each); panels.dispatchEvent(new CustomEvent("analytics")); },
    }, each)));
    return currency ? chart(data.daily, currency) : el("p", { class: "empty" }, "No orders in the last 30 days.");
  }, { head: [choice], flush: true });
}

/** The currency that the user has selected for the chart, also after a reload. */
const chosen = {
  key: "chart-currency",
  last: "",
  keep(person, currency) {
    this.last = `${person} ${currency}`;
    try { localStorage.setItem(this.key, this.last); } catch {} // for this tab alone
  },
  of(person) {
    try { this.last = localStorage.getItem(this.key) ?? this.last; } catch {}
    const [whose, currency] = this.last.split(" ");
    return whose === person ? currency : null;
  },
};

function chart(daily, currency) {
  const values = daily.map((each) => each.revenue?.[currency] ?? 0);
  const sum = values.reduce((all, each) => all + BigInt(each), 0n);
  const plot = el("div", { class: "plot", role: "img", "aria-label": `${money(sum, currency)} in 30 days; the table below has each day` });
  const tip = el("div", { class: "tip", hidden: true });
  requestAnimationFrame(() => draw(plot, tip, daily, values, currency));
  return [
    el("div", { class: "chart" }, plot, tip),
    el("div", { class: "chart-foot" },
      el("details", { "data-key": "chart-table" }, el("summary", { "data-key": "chart-summary" }, "Show as a table"), table(daily, values, currency)),
      el("span", { class: "muted" }, `${money(sum, currency)} in total, without cancelled orders`)),
  ];
}

function table(daily, values, currency) {
  const rows = daily.map((each, index) => el("tr", {},
    el("td", {}, day(each.day)), el("td", { class: "right" }, count(each.orders)), el("td", { class: "right" }, money(values[index], currency))));
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Order value by day", "data-key": "chart-days" },
    el("table", {},
      el("thead", {}, el("tr", {}, el("th", {}, "Day"), el("th", { class: "right" }, "Orders"), el("th", { class: "right" }, "Value"))),
      el("tbody", {}, rows.reverse())));
}

/** Draws into `plot`, and again when its size or the theme changes, until it is removed from the page. */
function draw(plot, tip, daily, values, currency) {
  let drawn = null;
  const paint = () => {
    drawn?.destroy();
    drawn = new uPlot(options(plot, tip, daily, values, currency), [values.map((_, index) => index), values.map(Number)], plot);
  };
  const resized = new ResizeObserver(() => {
    if (plot.isConnected) drawn.setSize({ width: plot.clientWidth, height: plot.clientHeight });
  });
  const themed = () => {
    if (plot.isConnected) { paint(); return; }
    removeEventListener("theme", themed);
    resized.disconnect();
    drawn.destroy();
  };
  paint();
  resized.observe(plot);
  addEventListener("theme", themed);
  new MutationObserver((_, observer) => {
    if (!plot.isConnected) { observer.disconnect(); themed(); }
  }).observe(document.getElementById("content"), { childList: true, subtree: true });
}

function options(plot, tip, daily, values, currency) {
  const style = getComputedStyle(plot);
  const [accent, line, muted] = ["--accent", "--line", "--muted"].map(colorsOf(plot));
  const font = `12px ${style.fontFamily}`;
  const every = Math.max(1, Math.ceil(daily.length / Math.max(2, Math.floor(plot.clientWidth / 72))));
  return {
    width: plot.clientWidth,
    height: plot.clientHeight,
    padding: [12, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, x: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: () => [-0.6, daily.length - 0.4] },
      y: { range: (_, __, max) => [0, Math.max(max, 1) * 1.08] },
    },
    axes: [
      {
        stroke: muted, font, grid: { show: false }, ticks: { show: false }, size: 30,
        splits: () => daily.map((_, index) => index).filter((index) => (daily.length - 1 - index) % every === 0),
        values: (_, splits) => splits.map((index) => day(daily[index].day)),
      },
      {
        stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 64, space: 44,
        values: (_, splits) => splits.map((minor) => roundMoney(minor, currency)),
      },
    ],
    series: [{}, { paths: uPlot.paths.bars({ size: [0.62, 24], radius: 0.22 }), fill: accent, width: 0, points: { show: false } }],
    hooks: { setCursor: [(chart) => point(chart, plot, tip, daily, values, currency)] },
  };
}

function point(chart, plot, tip, daily, values, currency) {
  const index = chart.cursor.idx;
  const inside = index !== null && index !== undefined && chart.cursor.left >= 0;
  tip.hidden = !inside;
  if (!inside) return;
  tip.replaceChildren(el("strong", {}, money(values[index], currency)), `${day(daily[index].day)} · ${plural(daily[index].orders, "order")}`);
  const at = chart.valToPos(index, "x") + chart.over.offsetLeft + plot.offsetLeft;
  const left = Math.min(Math.max(at - tip.offsetWidth / 2, 4), plot.clientWidth - tip.offsetWidth - 4);
  tip.style.transform = `translate(${Math.round(left)}px, 0)`;
}
