// Numbers, money and times as people read them.
import { LOCALE } from "./locale.js";
import { MINOR_DIGITS, OTHER_DIGITS } from "./currencies.js"; // made by the gateway from shared/iso_4217.json

const clock = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat(LOCALE, { hour: "2-digit", minute: "2-digit" });
const short = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const long = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeStyle: "short" });
const date = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium" });
const calendarDay = new Intl.DateTimeFormat(LOCALE, { dateStyle: "medium", timeZone: "UTC" });
const dayOfMonth = new Intl.DateTimeFormat(LOCALE, { day: "numeric", month: "short", timeZone: "UTC" });
const relative = new Intl.RelativeTimeFormat(LOCALE, { numeric: "auto" });
const whole = new Intl.NumberFormat(LOCALE);
const moneyFormats = new Map();

/** The browser's own digits are not used: they are those of cash, and wrong for the minor units of some currencies. */
function moneyFormat(currency, more = {}) {
  const key = currency + JSON.stringify(more);
  if (!moneyFormats.has(key)) {
    const digits = decimals(currency);
    const format = { style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits, ...more };
    moneyFormats.set(key, new Intl.NumberFormat(LOCALE, format));
  }
  return moneyFormats.get(key);
}

/** How many of a currency's minor units make one, as a power of ten: 2 for EUR, 0 for JPY. */
export const decimals = (currency) => MINOR_DIGITS[currency] ?? OTHER_DIGITS;

/** Of a whole number or a BigInt; exact, however large it is. */
export const money = (minor, currency) => moneyFormat(currency).format(decimal(BigInt(minor), decimals(currency)));

/** 1250n → `12.50` for two digits. */
function decimal(minor, digits) {
  const text = (minor < 0n ? -minor : minor).toString().padStart(digits + 1, "0");
  const at = text.length - digits;
  return `${minor < 0n ? "-" : ""}${text.slice(0, at)}.${text.slice(at) || "0"}`;
}

/** For axes: no more digits than needed. */
export const roundMoney = (minor, currency) =>
  moneyFormat(currency, { notation: "compact", minimumFractionDigits: 0, maximumFractionDigits: 1 })
    .format(minor / 10 ** decimals(currency));

/** `12.5` → 1250 for EUR; NaN for what is no amount. Both points and commas separate decimals. */
export function toMinor(text, currency) {
  const [, whole, fraction = ""] = /^(\d{1,10})(?:[.,](\d+))?$/.exec(text.trim()) ?? [];
  const places = decimals(currency);
  return whole && fraction.length <= places ? Number(whole + fraction.padEnd(places, "0")) : NaN;
}

export const count = (number) => whole.format(number);
export const atMinute = (time) => minute.format(time);
export const atClock = (time) => clock.format(time);
export const when = (iso) => short.format(new Date(iso));
export const whenExactly = (iso) => long.format(new Date(iso));
export const onDate = (iso) => date.format(new Date(iso));
/** Of a date without a time, which is the same day everywhere. */
export const onDay = (iso) => calendarDay.format(new Date(iso));
export const day = (iso) => dayOfMonth.format(new Date(iso));
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;

export function ago(iso) {
  const seconds = (new Date(iso) - Date.now()) / 1000;
  for (const [unit, size] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (Math.abs(seconds) >= size) return relative.format(Math.round(seconds / size), unit);
  }
  return seconds > 0 ? "in a moment" : "just now";
}

export function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...word][0] ?? "");
  return letters.join("").toLocaleUpperCase() || "?";
}

/** The end of an id, which is its random part: enough to tell one from another, on the page as in mails. */
export const shortId = (id) => id.slice(-8).toUpperCase();

export const REASONS = {
  timeout: "no answer in time",
  connect: "the service cannot be reached",
  bad_response: "the service gave a wrong answer",
  circuit_open: "the service is being left alone for a moment",
  overloaded: "too much is being asked of the service",
  internal: "the service cannot be asked",
};
