// The session of an account of this system. The access token is in this tab's memory; a cookie that scripts cannot read
// renews it.
import { claimsOf } from "./claims.js";

const PATH = "/web/session";
const EARLY_MS = 60_000;
/** Without Web Locks: how far apart tabs renew, and how long a new tab waits for the token of another one. */
const APART_MS = 20_000;
const ANSWER_MS = 300;
const SPREAD_MS = 700;
const ASK = "token?";
const channel = new BroadcastChannel("session");

/** @type {string | null} */
let token = null;
let expires = 0;
let timer = 0;

/** `signed-out` (detail: a message for the user, or null), `signed-in`, and `ending` (detail: why a sign-out waits, or null). */
export const changes = new EventTarget();
export const isSignedIn = () => token !== null;
export const accessToken = () => token;

/** The token's claims, `{sub, role}`, or none without a session. Only the gateway verifies them; here they decide what to show. */
export const claims = () => (token === null ? {} : claimsOf(token));

/**
 * @param {string} path
 * @param {object} [body]
 */
async function exchange(path, body) {
  return fetch(PATH + path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}),
    keepalive: true, // a reload meanwhile must not lose the new cookie: the old one is no longer valid
  });
}

/** @param {{access_token: string, expires_in?: number, expires_at?: number}} answer of the gateway, or of another tab */
function take(answer, { tell = true } = {}) {
  token = answer.access_token;
  expires = answer.expires_at ?? Date.now() + (answer.expires_in ?? 0) * 1000;
  clearTimeout(timer);
  const left = expires - Date.now();
  const apart = navigator.locks ? 0 : Math.random() * Math.min(APART_MS, left / 4);
  timer = setTimeout(() => renew(token), Math.max(left - EARLY_MS, left / 2, 1000) + apart);
  if (tell) channel.postMessage({ access_token: token, expires_at: expires });
}

/**
 * Raises the response if the request is rejected.
 * @param {string} email
 * @param {string} password
 */
export async function signIn(email, password) {
  await finishSignOut();
  await begin(await exchange("", { email, password }));
}

/**
 * Links the identity of a sign-in with a provider to the account with this password, and signs in. Raises likewise.
 * @param {string} ticket
 * @param {string} password
 */
export async function link(ticket, password) {
  await finishSignOut();
  await begin(await fetch("/v1/identity-links", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ticket, password }),
  }));
}

/** Before another sign-in: the last session must not end the new one. Raises if it cannot be ended now. */
export async function finishSignOut() {
  if (isEnding() && !(await endSession())) throw new TypeError("the last session has not ended yet");
}

/** @param {Response} response */
async function begin(response) {
  if (!response.ok) throw response;
  take(await response.json());
  changes.dispatchEvent(new Event("signed-in"));
}

/** Continues the session that the browser still has; false if there is none. */
export async function resume() {
  addEventListener("online", () => isEnding() && endSession());
  if (isEnding()) await endSession();
  if (!navigator.locks && (await tokenOfOtherTab())) return true;
  return renew(null);
}

/**
 * Takes a token that another tab has, or gets in the next second; false if none does. Without Web Locks, as over
 * plain http, tabs that open together would renew at once, and a renewal token that is used twice ends the session.
 * @returns {Promise<boolean>}
 */
function tokenOfOtherTab() {
  return new Promise((resolve) => {
    const end = (/** @type {boolean} */ found) => {
      channel.removeEventListener("message", answer);
      resolve(found);
    };
    const answer = (/** @type {MessageEvent} */ { data }) => {
      if (!data.access_token) return;
      take(data, { tell: false });
      end(true);
    };
    channel.addEventListener("message", answer);
    channel.postMessage(ASK);
    setTimeout(end, ANSWER_MS + Math.random() * SPREAD_MS, false);
  });
}

/**
 * A new token that replaces `old`; one tab renews at a time, and the others take its token. False if the session has
 * ended; raises if that is unknown.
 * @param {string | null} old
 * @returns {Promise<boolean>}
 */
export async function renew(old) {
  const locked = navigator.locks
    ? (/** @type {() => Promise<boolean>} */ work) => navigator.locks.request("session", work)
    : (/** @type {() => Promise<boolean>} */ work) => work();
  return locked(async () => {
    if (token !== null && token !== old) return true;
    if (isEnding()) return false;
    const response = await exchange("/refresh");
    if (response.status === 200) {
      const answer = await response.json();
      if (old !== null && claimsOf(answer.access_token).sub !== claimsOf(old).sub) {
        drop("Somebody else has signed in in another tab.");
        return false;
      }
      take(answer);
      return true;
    }
    if ([204, 401].includes(response.status)) {
      if (token !== null) drop("Your session has ended. Please sign in again."); // unless this tab has signed out since
      return false;
    }
    if (old !== null && token === old) timer = setTimeout(() => renew(token).catch(() => {}), 5000);
    throw response;
  });
}

// Signed out here, but the server does not know yet. Stored for other tabs and for a reload.
const ENDING = "sign-out";
const ENDING_TEXT = "The server cannot be reached. You are signed out here; your session ends as soon as the connection is back.";
const AGAIN_MS = 5000;
let again = 0;
let endingHere = false; // if storage is blocked

function isEnding() {
  try {
    return localStorage.getItem(ENDING) !== null;
  } catch {
    return endingHere;
  }
}

/** @param {boolean} value */
function setEnding(value) {
  endingHere = value;
  try {
    if (value) localStorage.setItem(ENDING, "1");
    else localStorage.removeItem(ENDING);
  } catch {} // only this tab knows
}

/** Why the user is signed out here but not at the server; null after the sign-out is complete. */
export const unfinished = () => (isEnding() ? ENDING_TEXT : null);

export async function signOut() {
  setEnding(true);
  drop(null);
  channel.postMessage("signed-out");
  await endSession();
}

/** Ends the session by its cookie, and retries until that succeeds. Returns false until then, and dispatches `ending`. */
async function endSession() {
  clearTimeout(again);
  const response = await fetch(PATH, { method: "DELETE", keepalive: true }).catch(() => null);
  if (response?.ok) {
    setEnding(false);
    tellEnding(null);
    return true;
  }
  again = setTimeout(() => isEnding() && endSession(), AGAIN_MS);
  tellEnding(ENDING_TEXT);
  return false;
}

/** @param {string | null} detail */
const tellEnding = (detail) => changes.dispatchEvent(new CustomEvent("ending", { detail }));

/** @param {string | null} message for the user */
function drop(message) {
  clearTimeout(timer);
  token = null;
  changes.dispatchEvent(new CustomEvent("signed-out", { detail: message }));
}

channel.addEventListener("message", ({ data }) => {
  if (data === ASK) {
    if (token !== null) channel.postMessage({ access_token: token, expires_at: expires });
    return;
  }
  if (data === "signed-out") {
    if (token !== null) drop("You have signed out in another tab.");
  } else if (token !== null && claimsOf(data.access_token).sub === claims().sub) take(data, { tell: false });
  else if (token !== null) drop("Somebody else has signed in in another tab.");
});
