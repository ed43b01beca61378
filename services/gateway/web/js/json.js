// Parses JSON with numbers that exceed JavaScript's exact range, as amounts of money may.

/**
 * @param {unknown} value
 * @param {string} source
 */
const exact = (value, source) => (typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value);

/** @type {(name: string, value: unknown, context?: {source?: string}) => unknown} */
const reviver = (_, value, context) => exact(value, context?.source ?? "");

/**
 * An integer beyond 2⁵³ becomes a BigInt; in a browser without access to the source text it is rounded.
 * @param {string} text
 * @returns {any}
 */
export const parse = (text) => JSON.parse(text, /** @type {any} */ (reviver));
