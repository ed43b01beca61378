// The session of a person whom another identity provider signs in. Its access token comes from the address
// (`#access_token=…`) or is pasted, and stays in this tab's storage until it is no longer valid or the person signs out.
import { claimsOf } from "./claims.js";

const KEY = "access-token";
const EXPIRED = "Your sign-in has expired. Sign in again with your identity provider.";
const REJECTED = "The server does not accept this token. Sign in again with your identity provider.";
const NO_TOKEN = "This is not an access token. Copy all of it: three parts with a point between them.";
const UNUSABLE = "The address of this page contained no usable token. Sign in again with your identity provider.";
const REFUSED = "Your identity provider did not sign you in. Try again there.";

/** @type {string | null} */
let token = null;
/** @type {Record<string, any>} */
let kept = {};
/** @type {string | null} */
let reason = null;

/** `signed-in` and `signed-out` (detail: a message for the user, or null). */
export const changes = new EventTarget();
export const isSignedIn = () => token !== null;
export const accessToken = () => token;
export const claims = () => kept;

/** Why the page was opened without a session, if its address was to bring one; otherwise null. */
export const refusal = () => reason;

/** Continues with the token in the address, or else with the one that this tab has stored. */
export async function resume() {
  addEventListener("hashchange", () => {
    const given = takeFromAddress();
    if (given && use(given)) changes.dispatchEvent(new Event("signed-in"));
  });
  const given = takeFromAddress();
  if (given !== null && !use(given)) reason ??= UNUSABLE;
  if (given === null) use(read());
}

/**
 * Continues with a token that was pasted.
 * @param {string} text
 * @returns Why that is impossible, or null.
 */
export function enter(text) {
  if (!use(text.trim().replace(/^bearer\s+/i, ""))) return NO_TOKEN;
  changes.dispatchEvent(new Event("signed-in"));
  return null;
}

/**
 * Only the identity provider can renew the token: the session ends, unless `old` has been replaced.
 * @param {string | null} old
 */
export async function renew(old) {
  if (token !== null && token !== old) return true;
  if (token !== null) drop(kept.exp * 1000 <= Date.now() ? EXPIRED : REJECTED);
  return false;
}

export async function signOut() {
  drop(null);
}

/** The token in the address, from which it is removed at once. "" for an answer without one, null for another address. */
function takeFromAddress() {
  const answer = new URLSearchParams(location.hash.slice(1));
  if (!answer.has("access_token") && !answer.has("error")) return null;
  history.replaceState(history.state, "", location.pathname + location.search);
  if (answer.has("error")) reason = REFUSED;
  return answer.get("access_token") ?? "";
}

/**
 * Whether the text is that of a token. Only the server knows whether it is valid.
 * @param {string | null} candidate
 */
function use(candidate) {
  if (!candidate) return false;
  try {
    kept = claimsOf(candidate);
  } catch {
    return false;
  }
  token = candidate;
  reason = null;
  store(token);
  return true;
}

/** @param {string | null} message for the user */
function drop(message) {
  token = null;
  kept = {};
  store(null);
  changes.dispatchEvent(new CustomEvent("signed-out", { detail: message }));
}

/** @param {string | null} value */
function store(value) {
  try {
    if (value === null) sessionStorage.removeItem(KEY);
    else sessionStorage.setItem(KEY, value);
  } catch {} // kept until a reload
}

function read() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}
