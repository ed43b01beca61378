// The analytics: key figures, and the amounts of each day.
import { get, Problem } from "./api.js";
import { colorsOf } from "./colors.js";
import { busy, el, replace } from "./dom.js";
import { offers } from "./features.js";
import { count, day, money, month, percent, plural, roundMoney, whenExactly } from "./format.js";
import { panelCard } from "./panels.js";
import { claims } from "./session.js";
import { since } from "./times.js";

/** @import { Child } from "./dom.js" */
/** @import { Panels } from "./panels.js" */
/** @typedef {{label: string, orders: number, value: number | bigint}} Bar */
/** @typedef {{items?: DayOfOrders[], previous?: OrderSums | null, problem?: Problem | null, panel?: Analytics, readAt?: number, timer?: number | null, call?: number}} Known */
/** @typedef {Known & {items: DayOfOrders[]}} Read */

const STATUS_WORDS = { created: "open", paid: "paid", shipped: "shipped", cancelled: "cancelled" };

/** @param {Panels} panels */
export function figuresCard(panels) {
  return panelCard(panels, "analytics", "Key figures", (/** @type {Analytics} */ data) => el("dl", { class: "figures" },
    figure("Order value", ...amounts(data.revenue, data.by_currency), "paid or not, without cancelled orders"),
    figure("Orders", count(data.orders), byStatus(data.by_status)),
    figure("Average order", ...amounts(data.average_order, data.by_currency)),
    figure("Last order", data.last_order_at ? since(data.last_order_at) : "–", data.last_order_at && whenExactly(data.last_order_at))),
    { flush: true });
}

/**
 * @param {string} label
 * @param {Child} value
 * @param {...Child} notes
 */
function figure(label, value, ...notes) {
  return el("div", { class: "figure" }, el("dt", {}, label), el("dd", {}, value, notes.filter(Boolean).map((note) => el("small", {}, note))));
}

/**
 * The amount in the currency of the most orders, with the others below it.
 * @param {Amounts | null} byCurrency
 * @param {Record<string, number>} [orders]
 * @returns {[string, ...string[]]}
 */
function amounts(byCurrency, orders) {
  const currencies = byOrders(Object.keys(byCurrency ?? {}), orders);
  if (!currencies.length) return ["–"];
  const [first, ...others] = currencies.map((currency) => money(/** @type {Amounts} */ (byCurrency)[currency], currency));
  return [first, others.join(" · ")];
}

/**
 * Currencies, those of many orders first: amounts of different currencies cannot be compared.
 * @param {string[]} currencies
 * @param {Record<string, number>} orders
 */
const byOrders = (currencies, orders = {}) =>
  currencies.sort((a, b) => (orders[b] ?? 0) - (orders[a] ?? 0) || a.localeCompare(b));

/** @param {Record<string, number> | undefined} counts */
const byStatus = (counts) => Object.entries(STATUS_WORDS)
  .filter(([status]) => counts?.[status])
  .map(([status, words]) => `${count(/** @type {Record<string, number>} */ (counts)[status])} ${words}`)
  .join(" · ");

const PERIODS = { 7: "7 days", 30: "30 days", 90: "90 days", 365: "1 year" };
/** A longer period is shown by month: bars of single days would be too thin to point at. */
const MOST_BARS = 100;
/** A larger change says nothing as a percentage. */
const MOST_CHANGE = 9.99;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
const PAUSE_MS = 3000;
const HAS_DAILY = offers("GET /v1/orders/daily");

/** @param {Panels} panels */
export function chartCard(panels) {
  const currencies = el("div", { class: "segments", role: "group", "aria-label": "Currency", hidden: true });
  const periods = el("div", { class: "segments", role: "group", "aria-label": "Period", hidden: !HAS_DAILY });
  const redraw = () => panels.dispatchEvent(new CustomEvent("analytics"));
  const sums = new Sums(redraw);

  return panelCard(panels, "analytics", "Order value", (/** @type {Analytics} */ data) => {
    const days = HAS_DAILY ? Number(chosenDays.of(claims().sub)) || 30 : 30;
    replace(periods, Object.entries(PERIODS).map(([each, words]) => segment(`days-${each}`, words, Number(each) === days, () => { chosenDays.keep(claims().sub, each); redraw(); })));
    const known = HAS_DAILY ? sums.of(data, days) : ofPanel(data.daily);
    if (known.problem && !known.items) return failed(known.problem, () => sums.load(days));
    if (!known.items) return el("p", { class: "empty chart-empty" }, "Loading…");
    const found = byOrders([...new Set([known.items, [known.previous]].flat().flatMap((each) => Object.keys(each?.revenue ?? {})))], data.by_currency);
    const own = /** @type {string} */ (chosenCurrency.of(claims().sub));
    const currency = found.includes(own) ? own : found[0];
    currencies.hidden = found.length < 2;
    replace(currencies, found.map((each) => segment(each, each, each === currency, () => { chosenCurrency.keep(claims().sub, each); redraw(); })));
    return currency ? chart(/** @type {Read} */ (known), currency) : el("p", { class: "empty chart-empty" }, `No orders in the last ${plural(known.items.length, "day")}.`);
  }, { head: [currencies, periods], flush: true });
}

/**
 * @param {string} key
 * @param {string} words
 * @param {boolean} isChosen
 * @param {() => void} choose
 */
const segment = (key, words, isChosen, choose) => el("button", { type: "button", "data-key": key, "aria-pressed": String(isChosen), onclick: choose }, words);

/**
 * @param {Problem} problem
 * @param {() => unknown} load
 */
const failed = (problem, load) => el("div", { class: "away" }, el("p", {}, `The days cannot be shown now: ${problem.message}`),
  el("button", { class: "button small", type: "button", "data-key": "retry-daily", onclick: (event) => busy(event.currentTarget, load) }, "Try again"));

/**
 * The panel's days are those of UTC.
 * @param {DayOfOrders[]} daily
 * @returns {Known}
 */
const ofPanel = (daily) => ({ items: daily, previous: null });

/** The sums by day of each period, in this person's time zone: read when they are shown, and again when the panel changes. */
class Sums {
  #changed;
  /** @type {Map<number, Known>} */
  #known = new Map();
  #calls = 0;

  /** @param {() => void} changed */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * `{items, previous}`, without `items` until they have been read; `problem` says why they could not be read.
   * @param {Analytics} panel
   * @param {number} days
   */
  of(panel, days) {
    /** @type {Known} */
    const known = this.#known.get(days) ?? {};
    if (known.panel !== panel) {
      this.#known.set(days, { ...known, panel });
      this.#loadSoon(days);
    }
    return /** @type {Known} */ (this.#known.get(days));
  }

  /**
   * At once, unless it has just been read: during an import, the panel changes several times a second.
   * @param {number} days
   */
  #loadSoon(days) {
    const { readAt = 0, timer } = /** @type {Known} */ (this.#known.get(days));
    if (timer) return;
    const wait = readAt + PAUSE_MS - Date.now();
    if (wait <= 0) this.load(days);
    else /** @type {Known} */ (this.#known.get(days)).timer = setTimeout(() => this.load(days), wait);
  }

  /** @param {number} days */
  async load(days) {
    const call = ++this.#calls;
    this.#known.set(days, { ...this.#known.get(days), call, readAt: Date.now(), timer: null });
    const keep = (/** @type {Known} */ more) => {
      const known = /** @type {Known} */ (this.#known.get(days));
      if (known.call !== call) return; // a later call has the newer sums
      this.#known.set(days, { ...known, ...more });
      this.#changed();
    };
    try {
      const { items, previous } = await get(`/v1/orders/daily?${new URLSearchParams(/** @type {any} */ ({ days, timezone: ZONE }))}`);
      keep({ items, previous, problem: null });
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      keep({ problem });
    }
  }
}

/** What a user has selected for the chart, also after a reload. */
class Chosen {
  #key;
  #last = "";

  /** @param {string} key */
  constructor(key) {
    this.#key = key;
  }

  /**
   * @param {string} person
   * @param {string} value
   */
  keep(person, value) {
    this.#last = `${person} ${value}`;
    try { localStorage.setItem(this.#key, this.#last); } catch {} // for this tab alone
  }

  /** @param {string} person */
  of(person) {
    try { this.#last = localStorage.getItem(this.#key) ?? this.#last; } catch {}
    const [whose, value] = this.#last.split(" ");
    return whose === person ? value : null;
  }
}

const chosenCurrency = new Chosen("chart-currency");
const chosenDays = new Chosen("chart-days");

/**
 * The bars: `{label, orders, value}`, one for each day or, of a long period, for each month.
 * @param {DayOfOrders[]} items
 * @param {string} currency
 * @returns {Bar[]}
 */
function barsOf(items, currency) {
  const valueOf = (/** @type {DayOfOrders} */ each) => each.revenue?.[currency] ?? 0;
  if (items.length <= MOST_BARS) return items.map((each) => ({ label: day(each.day), orders: each.orders, value: valueOf(each) }));
  /** @type {Map<string, Bar & {value: bigint}>} */
  const months = new Map();
  for (const each of items) {
    const name = month(each.day);
    const { orders, value } = months.get(name) ?? { orders: 0, value: 0n };
    months.set(name, { label: name, orders: orders + each.orders, value: value + BigInt(valueOf(each)) });
  }
  return [...months.values()];
}

/**
 * @param {Read} known
 * @param {string} currency
 */
function chart({ items, previous }, currency) {
  const bars = barsOf(items, currency);
  const sum = bars.reduce((all, { value }) => all + BigInt(value), 0n);
  const period = plural(items.length, "day");
  const plot = el("div", { class: "plot", role: "img", "aria-label": `${money(sum, currency)} in ${period}; the table below has each ${items.length > MOST_BARS ? "month" : "day"}` });
  const tip = el("div", { class: "tip", hidden: true });
  requestAnimationFrame(() => draw(plot, tip, bars, currency));
  return [
    el("p", { class: "chart-sum" }, el("strong", {}, money(sum, currency)), " ", el("span", { class: "muted" }, previous ? compared(sum, BigInt(previous.revenue?.[currency] ?? 0), period, currency) : `in ${period}`)),
    el("div", { class: "chart" }, plot, tip),
    el("div", { class: "chart-foot" },
      el("details", { "data-key": "chart-table" }, el("summary", { "data-key": "chart-summary" }, "Show as a table"), table(bars, currency, items.length > MOST_BARS ? "Month" : "Day")),
      el("span", { class: "muted" }, "All orders, paid or not, without cancelled ones, on the day they were placed")),
  ];
}

/**
 * @param {bigint} now
 * @param {bigint} before
 * @param {string} period
 * @param {string} currency
 */
function compared(now, before, period, currency) {
  const earlier = `the ${period} before: ${money(before, currency)}`;
  const change = before === 0n ? 0 : Number(now) / Number(before) - 1;
  if (change === 0 || change > MOST_CHANGE) return `in ${period}; in ${earlier}`;
  return `in ${period}, ${percent(Math.abs(change))} ${change > 0 ? "more" : "less"} than in ${earlier}`;
}

/**
 * @param {Bar[]} bars
 * @param {string} currency
 * @param {string} unit
 */
function table(bars, currency, unit) {
  const rows = bars.map(({ label, orders, value }) => el("tr", {},
    el("td", {}, label), el("td", { class: "right" }, count(orders)), el("td", { class: "right" }, money(value, currency))));
  return el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": `Order value by ${unit.toLowerCase()}`, "data-key": "chart-days" },
    el("table", {},
      el("thead", {}, el("tr", {}, el("th", {}, unit), el("th", { class: "right" }, "Orders"), el("th", { class: "right" }, "Value"))),
      el("tbody", {}, rows.reverse())));
}

/**
 * Draws into `plot`, and again when its size or the theme changes, until it is removed from the page.
 * @param {HTMLElement} plot
 * @param {HTMLElement} tip
 * @param {Bar[]} bars
 * @param {string} currency
 */
function draw(plot, tip, bars, currency) {
  /** @type {uPlot | null} */
  let drawn = null;
  const paint = () => {
    drawn?.destroy();
    drawn = new uPlot(options(plot, tip, bars, currency), [bars.map((_, index) => index), bars.map(({ value }) => Number(value))], plot);
  };
  const resized = new ResizeObserver(() => {
    if (plot.isConnected) /** @type {uPlot} */ (drawn).setSize({ width: plot.clientWidth, height: plot.clientHeight });
  });
  const themed = () => {
    if (plot.isConnected) { paint(); return; }
    removeEventListener("theme", themed);
    resized.disconnect();
    /** @type {uPlot} */ (drawn).destroy();
  };
  paint();
  resized.observe(plot);
  addEventListener("theme", themed);
  new MutationObserver((_, observer) => {
    if (!plot.isConnected) { observer.disconnect(); themed(); }
  }).observe(/** @type {HTMLElement} */ (document.getElementById("content")), { childList: true, subtree: true });
}

/**
 * @param {HTMLElement} plot
 * @param {HTMLElement} tip
 * @param {Bar[]} bars
 * @param {string} currency
 * @returns {PlotOptions}
 */
function options(plot, tip, bars, currency) {
  const style = getComputedStyle(plot);
  const [accent, line, muted] = ["--accent", "--line", "--muted"].map(colorsOf(plot));
  const font = `12px ${style.fontFamily}`;
  const every = () => Math.max(1, Math.ceil(bars.length / Math.max(2, Math.floor(plot.clientWidth / 72)))); // a window changes its width
  return {
    width: plot.clientWidth,
    height: plot.clientHeight,
    padding: [12, 20, 0, 0],
    legend: { show: false },
    cursor: { y: false, x: false, points: { show: false }, drag: { x: false, y: false } },
    scales: {
      x: { time: false, range: () => [-0.6, bars.length - 0.4] },
      y: { range: (_, __, max) => [0, Math.max(max, 1) * 1.08] },
    },
    axes: [
      {
        stroke: muted, font, grid: { show: false }, ticks: { show: false }, size: 30,
        splits: () => bars.map((_, index) => index).filter((index) => (bars.length - 1 - index) % every() === 0),
        values: (_, splits) => splits.map((index) => bars[index].label),
      },
      {
        stroke: muted, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, size: 64, space: 44,
        values: (_, splits) => splits.map((minor) => roundMoney(minor, currency)),
      },
    ],
    series: [{}, { paths: uPlot.paths.bars({ size: [0.62, 24], radius: 0.22 }), fill: accent, width: 0, points: { show: false } }],
    hooks: { setCursor: [(chart) => point(chart, plot, tip, bars, currency)] },
  };
}

/**
 * @param {uPlot} chart
 * @param {HTMLElement} plot
 * @param {HTMLElement} tip
 * @param {Bar[]} bars
 * @param {string} currency
 */
function point(chart, plot, tip, bars, currency) {
  const index = chart.cursor.idx;
  const inside = index !== null && index !== undefined && chart.cursor.left >= 0;
  tip.hidden = !inside;
  if (!inside) return;
  const { label, orders, value } = bars[index];
  tip.replaceChildren(el("strong", {}, money(value, currency)), `${label} · ${plural(orders, "order")}`);
  const at = chart.valToPos(index, "x") + chart.over.offsetLeft + plot.offsetLeft;
  const left = Math.min(Math.max(at - tip.offsetWidth / 2, 4), plot.clientWidth - tip.offsetWidth - 4);
  tip.style.transform = `translate(${Math.round(left)}px, 0)`;
}
