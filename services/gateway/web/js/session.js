// Who is signed in. The access token lives in this tab's memory; what renews it is a cookie that no script can read.

const PATH = "/web/session";
const EARLY_MS = 60_000;
const channel = new BroadcastChannel("session");

let token = null;
let expires = 0;
let timer = 0;

/** `signed-out` (detail: a message for the person, or null), `signed-in`, and `ending` (detail: why a sign-out waits, or null). */
export const changes = new EventTarget();
export const isSignedIn = () => token !== null;
export const accessToken = () => token;

/** What the token says of its owner: `{sub, role}`. Only the gateway verifies it; this is for what to show. */
export const claims = () => claimsOf(token);
const claimsOf = (jwt) => JSON.parse(atob(jwt.split(".")[1].replaceAll("-", "+").replaceAll("_", "/")));

async function exchange(path, body) {
  return fetch(PATH + path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}),
    keepalive: true, // a reload meanwhile must not lose the new cookie: the old one counts no longer
  });
}

function take(answer, { tell = true } = {}) {
  token = answer.access_token;
  expires = answer.expires_at ?? Date.now() + answer.expires_in * 1000;
  clearTimeout(timer);
  const left = expires - Date.now();
  timer = setTimeout(() => renew(token), Math.max(left - EARLY_MS, left / 2, 1000));
  if (tell) channel.postMessage({ access_token: token, expires_at: expires });
}

/** Raises the response when it is refused. */
export async function signIn(email, password) {
  if (isEnding() && !(await endSession())) throw new TypeError("the last session has not ended yet");
  const response = await exchange("", { email, password });
  if (!response.ok) throw response;
  take(await response.json());
  changes.dispatchEvent(new Event("signed-in"));
}

/** Goes on with the session that the browser still has; false when there is none. */
export async function resume() {
  if (isEnding()) await endSession();
  return renew(null);
}

/**
 * A new token in the place of `old`; one tab at a time, and the others take what it got. False when the session has
 * ended; raises when nobody can say.
 */
export async function renew(old) {
  const locked = navigator.locks ? (work) => navigator.locks.request("session", work) : (work) => work();
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
      if (old !== null) drop("Your session has ended. Please sign in again.");
      return false;
    }
    if (old !== null && token === old) timer = setTimeout(() => renew(token).catch(() => {}), 5000);
    throw response;
  });
}

// Signed out here, but the server does not know it yet. Kept for other tabs and for a reload.
const ENDING = "sign-out";
const ENDING_TEXT = "The server cannot be reached. You are signed out here; your session ends as soon as the connection is back.";
const AGAIN_MS = 5000;
let again = 0;
let endingHere = false; // where storage is blocked

function isEnding() {
  try {
    return localStorage.getItem(ENDING) !== null;
  } catch {
    return endingHere;
  }
}

function setEnding(value) {
  endingHere = value;
  try {
    if (value) localStorage.setItem(ENDING, "1");
    else localStorage.removeItem(ENDING);
  } catch {} // this tab alone knows
}

/** Why the person is signed out here and not at the server; null when they are signed out. */
export const unfinished = () => (isEnding() ? ENDING_TEXT : null);

export async function signOut() {
  setEnding(true);
  drop(null);
  channel.postMessage("signed-out");
  await endSession();
}

/** Ends the session by its cookie, and tries again until that is done. False while it is not; says so by `ending`. */
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

const tellEnding = (detail) => changes.dispatchEvent(new CustomEvent("ending", { detail }));

addEventListener("online", () => isEnding() && endSession());

function drop(message) {
  clearTimeout(timer);
  token = null;
  changes.dispatchEvent(new CustomEvent("signed-out", { detail: message }));
}

channel.addEventListener("message", ({ data }) => {
  if (data === "signed-out") {
    if (token !== null) drop("You have signed out in another tab.");
  } else if (token !== null && claimsOf(data.access_token).sub === claims().sub) take(data, { tell: false });
  else if (token !== null) drop("Somebody else has signed in in another tab.");
});
