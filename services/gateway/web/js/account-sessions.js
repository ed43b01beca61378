// The section of the account page for sessions: where the user is signed in.
import { call, get } from "./api.js";
import { busy, confirmed, el, toast } from "./dom.js";
import { offers } from "./features.js";
import { whenExactly } from "./format.js";
import { listCard } from "./list-card.js";
import { since } from "./times.js";

/** @import { Home } from "./home.js" */

const PATH = "/v1/me/sessions";

/**
 * `me` dispatches `sessions` when they have changed.
 * @param {Home} home
 */
export function sessionsSection({ me }) {
  /** @type {Session[]} */
  let all = [];
  const { card, reload } = listCard("Sessions", async () => (all = inOrder(await everything(PATH))), (/** @type {Session[]} */ sessions) => [
    ...sessions.map((each) => row(each, reload)),
    sessions.length > 1 && offers(`DELETE ${PATH}`) && el("div", { class: "more" },
      el("button", { class: "button small", type: "button", "data-key": "end-others", onclick: (event) => busy(event.currentTarget, () => endOthers(all.length - 1, reload)) }, "Sign out everywhere else")),
  ].filter(Boolean));
  card.dataset.section = "sessions";
  const changed = () => {
    if (card.isConnected) reload();
    else me.removeEventListener("sessions", changed);
  };
  me.addEventListener("sessions", changed);
  return card;
}

/**
 * All items of a list of the API.
 * @template T
 * @param {string} path
 * @returns {Promise<T[]>}
 */
export async function everything(path) {
  const found = [];
  let cursor = null;
  do {
    const { items, next_cursor: next } = await get(cursor ? `${path}?limit=100&cursor=${encodeURIComponent(cursor)}` : `${path}?limit=100`);
    found.push(...items);
    cursor = next;
  } while (cursor);
  return found;
}

/**
 * The session of this page first, then the most recently used.
 * @param {Session[]} sessions
 */
const inOrder = (sessions) => [...sessions].sort((a, b) => Number(b.current) - Number(a.current) || (a.last_seen_at < b.last_seen_at ? 1 : -1));

/**
 * @param {Session} session
 * @param {() => Promise<void>} reload
 */
function row(session, reload) {
  const { id, device, address, created_at: began, last_seen_at: seen, current } = session;
  const name = device ?? "Unknown device";
  return el("div", { class: "row", "data-session": id },
    el("span", { class: "what" }, name, el("br"),
      el("span", { class: "muted small" }, address && `${address} · `, "last seen ", since(seen), ` · signed in ${whenExactly(began)}`)),
    current ? el("span", { class: "chip good" }, "This one") : el("span"),
    !current && offers(`DELETE ${PATH}/{id}`) && el("span", { class: "buttons" },
      el("button", { class: "button small", type: "button", "data-key": `end-${id}`, "aria-label": `Sign out ${name}, signed in ${whenExactly(began)}`, onclick: (event) => busy(event.currentTarget, () => end(session, name, reload)) }, "Sign out")));
}

/**
 * @param {Session} session
 * @param {string} name
 * @param {() => Promise<void>} reload
 */
async function end({ id }, name, reload) {
  await call("DELETE", `${PATH}/${id}`);
  toast(`${name} has been signed out.`);
  await reload();
}

/**
 * @param {number} number
 * @param {() => Promise<void>} reload
 */
async function endOthers(number, reload) {
  const sure = await confirmed("Sign out everywhere else?", number === 1 ? "One other session ends at once." : `${number} other sessions end at once.`, "Sign out everywhere else", "Not now");
  if (!sure) return;
  await call("DELETE", PATH);
  toast("All other sessions have ended.");
  await reload();
}
