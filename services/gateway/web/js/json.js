// Reads JSON whose numbers may be larger than a JavaScript number can hold exactly, as sums of money may.

const exact = (value, source) => (typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value);

/** A whole number beyond 2⁵³ becomes a BigInt; in a browser that does not tell a number's digits it is rounded. */
export const parse = (text) => JSON.parse(text, (_, value, context) => exact(value, context?.source ?? ""));
