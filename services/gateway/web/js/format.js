// Numbers, money and times as people read them, in the language of their browser.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minute = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });
const short = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
const long = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
const date = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
const calendarDay = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeZone: "UTC" });
const dayOfMonth = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const relative = new Intl.RelativeTimeFormat(undefined, { numeric: "auto" });
const whole = new Intl.NumberFormat();
const moneyFormats = new Map();

function moneyFormat(currency, more = {}) {
  const key = currency + JSON.stringify(more);
  if (!moneyFormats.has(key)) {
    moneyFormats.set(key, new Intl.NumberFormat(undefined, { style: "currency", currency, ...more }));
  }
  return moneyFormats.get(key);
}

/** How many of a currency's minor units make one, as a power of ten: 2 for EUR, 0 for JPY. */
export const decimals = (currency) => moneyFormat(currency).resolvedOptions().maximumFractionDigits;

export const money = (minor, currency) => moneyFormat(currency).format(minor / 10 ** decimals(currency));

/** For axes: no more digits than needed. */
export const roundMoney = (minor, currency) =>
  moneyFormat(currency, { notation: "compact", minimumFractionDigits: 0, maximumFractionDigits: 1 })
    .format(minor / 10 ** decimals(currency));

/** `12.5` → 1250 for EUR; NaN for what is no amount. Both points and commas separate decimals. */
export function toMinor(text, currency) {
  const told = text.trim().replace(",", ".");
  const places = decimals(currency);
  const pattern = places ? new RegExp(`^\\d{1,10}(\\.\\d{1,${places}})?$`) : /^\d{1,10}$/;
  return pattern.test(told) ? Math.round(Number(told) * 10 ** places) : NaN;
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
  return "just now";
}

export function initials(name) {
  const words = name.trim().split(/\s+/);
  const letters = [words[0], words.length > 1 ? words.at(-1) : ""].map((word) => [...word][0] ?? "");
  return letters.join("").toLocaleUpperCase() || "?";
}

/** The end of an id, which is its random part: enough to tell one from another on a page. */
export const shortId = (id) => id.slice(-6).toUpperCase();

export const REASONS = {
  timeout: "no answer in time",
  connect: "the service cannot be reached",
  bad_response: "the service gave a wrong answer",
  circuit_open: "the service is being left alone for a moment",
  overloaded: "too much is being asked of the service",
  internal: "the service cannot be asked",
};
