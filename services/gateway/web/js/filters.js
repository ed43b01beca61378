// The values of a form that filters a list, whose times are entered in the browser's time zone.

/** The form of an id, for the field of one. */
export const ID_PATTERN = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}";

/**
 * The values of the fields, trimmed, with `from` and `to` as ISO 8601; empty ones stay empty.
 * @param {FormData} data
 * @returns {Record<string, string>}
 */
export function entered(data) {
  const at = (/** @type {string} */ text) => text && new Date(text).toISOString();
  const values = Object.fromEntries([...data].map(([name, value]) => [name, /** @type {string} */ (value).trim()]));
  return { ...values, from: at(values.from), to: at(values.to) };
}

/**
 * What a field shows for a value; empty for a time that is not one.
 * @param {HTMLInputElement} input
 * @param {string} value
 */
export const shownIn = (input, value) => (input.type === "datetime-local" ? toLocal(value) : value);

/** @param {string} iso */
function toLocal(iso) {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? "" : new Date(/** @type {any} */ (at) - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
