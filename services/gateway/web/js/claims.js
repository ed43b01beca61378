// The claims of access tokens. Only the gateway verifies them; here they decide what to show.

/**
 * @param {string} jwt
 * @returns {Record<string, any>} The claims; raises an error if `jwt` is not a JSON Web Token.
 */
export function claimsOf(jwt) {
  const bytes = Uint8Array.from(atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
  const claims = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  if (claims === null || typeof claims !== "object") throw new TypeError("the claims are no object");
  return claims;
}

const OF_ONE_TOKEN = new Set(["exp", "iat", "nbf", "jti", "sid", "auth_time"]);

/**
 * @param {Record<string, any>} claims
 * @returns {string} The same text for all tokens with which the gateway shows the same data.
 */
export function subjectOf(claims) {
  return JSON.stringify(Object.entries(claims).filter(([name]) => !OF_ONE_TOKEN.has(name)).sort());
}

/**
 * @param {Record<string, any>} claims
 * @returns {{name: string | null, email: string | null, id: string | null}} Who the user is, as far as the token says.
 */
export function personOf({ name, given_name: given, family_name: family, preferred_username: username, email, sub }) {
  const full = text(name) ?? [text(given), text(family)].filter(Boolean).join(" ");
  return { name: full || text(username), email: text(email), id: text(sub) };
}

/** @param {unknown} value */
const text = (value) => (["string", "number"].includes(typeof value) && String(value).trim() !== "" ? String(value).trim() : null);
