// JSON of any shape as facts, lists and tables. Text stays text: nothing in it becomes a link or markup.
import { el } from "./dom.js";
import { count, number, onDate, onDay, when, whenExactly } from "./format.js";

/** @import { View } from "./data-card.js" */
/** @import { Child } from "./dom.js" */

const MAX_COLUMNS = 6;
const SAMPLED_ROWS = 20;
const MAX_FACTS = 40;
const MAX_DEPTH = 5;
const LONG = { fact: 240, cell: 80 };
const DAY = /^\d{4}-\d{2}-\d{2}$/;
const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?$/i;
/** Numbers that are names: they are not grouped. */
const IS_NAME = /(^|[^a-z])(id|ids|no|nr|number|code|zip|postcode|port|year|version)$|(Id|No|Code|Number|Year)$/i;

/**
 * Elements for a value. `view` is that of the card: `view.shown(path, atFirst)` is how many entries of a list are shown,
 * and `view.more(path)` a button for further ones.
 * @param {any} value
 * @param {View} view
 * @param {string} path
 * @param {number} depth
 * @returns {Child[]}
 */
export function content(value, view, path = "", depth = 0) {
  if (isEmpty(value)) return [el("p", { class: "empty" }, value === null || value === undefined ? "No data" : "Nothing here.")];
  if (Array.isArray(value)) return list(value, view, path, depth);
  if (typeof value === "object") return object(value, view, path, depth);
  return [el("p", { class: "value" }, scalar(value, "", LONG.fact))];
}

/** @param {unknown} value */
const isComplex = (value) => typeof value === "object" && value !== null;
/** @param {any} value */
const isEmpty = (value) => value === null || value === undefined || (isComplex(value) && Object.keys(value).length === 0);
/** @param {unknown} value */
const isObject = (value) => isComplex(value) && !Array.isArray(value);

/**
 * `memberSince`, `member_since` and `member-since` become "Member since"; abbreviations stay as they are.
 * @param {string} key
 */
export function label(key) {
  const words = key.replace(/([a-z\d])([A-Z])/g, "$1 $2").replace(/([A-Z]+)([A-Z][a-z])/g, "$1 $2").split(/[\s_.-]+/).filter(Boolean);
  const plain = words.map((word) => (/^(id|url|vat|iban)$/i.test(word) ? word.toUpperCase() : /^[A-Z\d]+$/.test(word) ? word : word.toLowerCase()));
  const text = plain.join(" ") || "–";
  return cut(text.charAt(0).toUpperCase() + text.slice(1), 60);
}

/**
 * @param {string} text
 * @param {number} length
 */
const cut = (text, length) => (text.length > length ? `${[...text.slice(0, length)].slice(0, -1).join("").trimEnd()}…` : text);

/**
 * A value that is neither a list nor an object.
 * @param {any} value
 * @param {string} key
 * @param {number} length
 */
function scalar(value, key, length) {
  if (value === null || value === undefined || value === "") return el("span", { class: "muted" }, "–");
  if (typeof value === "boolean") return value ? "Yes" : "No";
  if (typeof value !== "string") return short(IS_NAME.test(key) ? String(value) : number(value), length);
  if (DAY.test(value) && isTime(value)) return el("time", { datetime: value }, onDay(value));
  if (TIME.test(value) && isTime(value)) {
    return el("time", { datetime: value, title: whenExactly(value) }, length === LONG.cell ? briefly(value) : whenExactly(value));
  }
  return short(value, length);
}

/**
 * @param {string} text
 * @param {number} length
 */
const short = (text, length) => (text.length > length ? el("span", { title: text }, cut(text, length)) : text);

/**
 * Without the year if it is this one, without the time otherwise.
 * @param {string} time
 */
const briefly = (time) => (new Date(time).getFullYear() === new Date().getFullYear() ? when(time) : onDate(time));

/** @param {string} text */
const isTime = (text) => !Number.isNaN(Date.parse(text));

/**
 * @param {any} value
 * @param {View} view
 * @param {string} path
 * @param {number} depth
 */
function object(value, view, path, depth) {
  const entries = Object.entries(value);
  const simple = entries.filter(([, each]) => !isComplex(each) || isEmpty(each));
  const nested = entries.filter(([, each]) => isComplex(each) && !isEmpty(each));
  return [
    ...(simple.length ? facts(simple) : []),
    ...nested.map(([key, each]) => el("section", { class: "part" },
      depth === 0 ? el("h3", { title: key }, label(key)) : el("p", { class: "part-name", title: key }, label(key)),
      depth < MAX_DEPTH ? content(each, view, `${path}/${key}`, depth + 1) : raw(each))),
  ];
}

/** @param {[string, any][]} entries */
function facts(entries) {
  const rest = entries.length - MAX_FACTS;
  return [
    el("dl", { class: "facts" }, entries.slice(0, MAX_FACTS).flatMap(([key, value]) => [
      el("dt", { title: key }, label(key)), el("dd", {}, isComplex(value) ? scalar(null, key, LONG.fact) : scalar(value, key, LONG.fact))])),
    rest > 0 && el("p", { class: "muted small" }, `and ${count(rest)} more`),
  ];
}

/**
 * @param {any[]} values
 * @param {View} view
 * @param {string} path
 * @param {number} depth
 */
function list(values, view, path, depth) {
  if (values.every(isObject)) return table(values, view, path, depth);
  const shown = view.shown(path, 12);
  return [
    el("ul", { class: "values" }, values.slice(0, shown).map((each, index) =>
      el("li", {}, isComplex(each) ? nested(each, view, `${path}/${index}`, depth) : scalar(each, path, LONG.fact)))),
    further(values.length - shown, view, path),
  ];
}

/**
 * @param {Record<string, any>[]} rows
 * @param {View} view
 * @param {string} path
 * @param {number} depth
 */
function table(rows, view, path, depth) {
  const shown = view.shown(path, 8);
  const keys = [...new Set(rows.slice(0, SAMPLED_ROWS).flatMap((row) => Object.keys(row)))];
  const columns = keys.length > MAX_COLUMNS ? keys.slice(0, MAX_COLUMNS - 1) : keys;
  const right = new Set(columns.filter((key) => !IS_NAME.test(key) && rows.slice(0, SAMPLED_ROWS).every((row) => isNumber(row[key]))));
  const more = rows.slice(0, shown).some((row) => Object.keys(row).length > columns.filter((key) => key in row).length);
  const cells = (/** @type {Record<string, any>} */ row, /** @type {number} */ index) => [
    ...columns.map((key) => el("td", { class: right.has(key) ? "right" : null },
      isComplex(row[key]) && !isEmpty(row[key]) ? nested(row[key], view, `${path}/${index}/${key}`, depth) : scalar(isComplex(row[key]) ? null : row[key], key, LONG.cell))),
    more && el("td", {}, restOf(row, columns, view, `${path}/${index}`, depth)),
  ];
  return [
    el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": view.titleOf(path), "data-key": `table-${view.name}-${path}` },
      el("table", {},
        el("thead", {}, el("tr", {}, columns.map((key) => el("th", { scope: "col", class: right.has(key) ? "right" : null, title: key }, label(key))),
          more && el("th", { scope: "col" }, el("span", { class: "hidden-text" }, "Further fields")))),
        el("tbody", {}, rows.slice(0, shown).map((row, index) => el("tr", {}, cells(row, index)))))),
    further(rows.length - shown, view, path),
  ];
}

/** @param {unknown} value */
const isNumber = (value) => value === null || value === undefined || typeof value === "number" || typeof value === "bigint";

/**
 * @param {Record<string, any>} row
 * @param {string[]} columns
 * @param {View} view
 * @param {string} path
 * @param {number} depth
 */
function restOf(row, columns, view, path, depth) {
  const rest = Object.fromEntries(Object.entries(row).filter(([key]) => !columns.includes(key)));
  return isEmpty(rest) ? null : collapsed(`${count(Object.keys(rest).length)} more`, rest, view, `${path}/`, depth);
}

/**
 * @param {any} value
 * @param {View} view
 * @param {string} path
 * @param {number} depth
 */
const nested = (value, view, path, depth) => {
  const size = Object.keys(value).length;
  const words = Array.isArray(value) ? (size === 1 ? "entry" : "entries") : size === 1 ? "field" : "fields";
  return collapsed(`${count(size)} ${words}`, value, view, path, depth);
};

/**
 * @param {string} summary
 * @param {any} value
 * @param {View} view
 * @param {string} path
 * @param {number} depth
 */
function collapsed(summary, value, view, path, depth) {
  const key = `${view.name}-${path}`;
  return el("details", { "data-key": key }, el("summary", { "data-key": `summary-${key}` }, summary),
    depth < MAX_DEPTH ? content(value, view, path, depth + 1) : raw(value));
}

/**
 * Too deep for a picture of it.
 * @param {any} value
 */
const raw = (value) => {
  const text = JSON.stringify(value, (_, each) => (typeof each === "bigint" ? String(each) : each));
  return el("code", { title: text }, cut(text, LONG.fact));
};

/**
 * @param {number} left
 * @param {View} view
 * @param {string} path
 */
const further = (left, view, path) => left > 0 && el("p", { class: "further" }, el("span", { class: "muted" }, `and ${count(left)} more`), view.more(path));
