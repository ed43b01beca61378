// Parses JSON with numbers that exceed JavaScript's exact range, as amounts of money may.

const exact = (value, source) => (typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? BigInt(source) : value);

/** An integer beyond 2⁵³ becomes a BigInt; in a browser without access to the source text it is rounded. */
export const parse = (text) => JSON.parse(text, (_, value, context) => exact(value, context?.source ?? ""));
