// Notifications: what happened, a link to it, and which of them are unread.
import { call, get, post, Problem } from "./api.js";
import { busy, el, toast } from "./dom.js";
import { hasPanel, offers } from "./features.js";
import { count, plural } from "./format.js";
import { panelCard } from "./panels.js";
import { linkTo } from "./router.js";
import { since } from "./times.js";

/** @import { Listener } from "./dom.js" */
/** @import { Panel, Panels } from "./panels.js" */

const A_PANEL = 20;
const AT_FIRST = 7;
const MOST_UNDONE = 100;

/**
 * The address of what a notification is about, and the operation that its page needs.
 * @type {Record<string, [(id: string) => string, string]>}
 */
const PAGES = {
  order: [(id) => `#/orders/${id}`, "GET /v1/orders/{id}"],
  import: [(id) => `#/imports/${id}`, "GET /v1/imports/{id}"],
};

/** @param {Panels} panels */
export function notificationsCard(panels) {
  const badge = el("span", { class: "count", hidden: true });
  const button = (/** @type {string} */ key, /** @type {string} */ text, /** @type {Listener} */ work) => el("button", { class: "link small", type: "button", "data-key": key, onclick: work }, text);

  let shown = AT_FIRST;
  const showMore = () => {
    shown = A_PANEL;
    panels.dispatchEvent(new CustomEvent("notifications"));
  };

  /** All unread notifications, of which the panel may show only some. */
  let unread = 0;
  const tell = (/** @type {number} */ number) => {
    unread = number;
    badge.hidden = unread === 0;
    badge.textContent = `${count(unread)} new`;
    if (badge.isConnected) document.title = unread ? `(${count(unread)}) Dashboard` : "Dashboard";
  };
  /** A full panel may not contain all of them. */
  const countAll = latest(() => get("/v1/notifications/count"), (answer) => {
    if (answer.unread !== unread) {
      tell(answer.unread);
      panels.dispatchEvent(new CustomEvent("notifications"));
    }
  });
  /** @type {Note[] | null} */
  let counted = null;

  const mark = (/** @type {string[]} */ ids, /** @type {boolean} */ isRead) => {
    const marked = new Set(ids);
    panels.patch("notifications", (/** @type {Note[]} */ notes) => notes.map((note) => (marked.has(note.id) ? { ...note, read: isRead } : note)));
  };
  /**
   * @param {string[]} ids
   * @param {() => Promise<{unread?: number} | null>} work
   * @param {string | null} words
   */
  async function read(ids, work, words) {
    const answer = await work();
    if (answer?.unread !== undefined) tell(answer.unread);
    mark(ids, true);
    if (words) toast(words, { action: offers("POST /v1/notifications/unread") && ids.length <= MOST_UNDONE ? undoButton(ids) : null });
  }
  const undoButton = (/** @type {string[]} */ ids) => el("button", {
    class: "link", type: "button",
    onclick: (event) => {
      const notice = /** @type {Element} */ (event.currentTarget.closest(".toast"));
      busy(event.currentTarget, async () => {
        tell((await post("/v1/notifications/unread", { ids })).unread);
        mark(ids, false);
        /** @type {HTMLElement} */ (notice.querySelector(".icon-button")).click();
      });
    },
  }, "Undo");

  const readOne = (/** @type {Note} */ note, /** @type {string | null} */ words) => read([note.id], () => call("POST", `/v1/notifications/${note.id}/read`).then(() => null), words);
  async function readAll() {
    const newest = /** @type {Panel} */ (panels.of("notifications")).data[0].id;
    const ids = await unreadIds();
    const marked = unread;
    await read(ids, () => post("/v1/notifications/read", { up_to: newest }), `${plural(marked, "notification")} marked as read.`);
    panels.patch("notifications", (/** @type {Note[]} */ notes) => notes.map((note) => (note.id <= newest ? { ...note, read: true } : note)));
  }

  return panelCard(panels, "notifications", "Notifications", (/** @type {Note[]} */ notes) => {
    const fresh = notes.filter((note) => !note.read).length;
    if (notes.length < A_PANEL) tell(fresh);
    else {
      tell(Math.max(fresh, unread));
      if (counted !== notes && offers("GET /v1/notifications/count")) countAll();
      counted = notes;
    }
    if (!notes.length) return el("p", { class: "empty" }, hasPanel("orders") ? "Nothing yet. What happens to your orders appears here." : "Nothing yet.");
    const all = offers("POST /v1/notifications/read") && (unread >= 2 || unread > fresh);
    return [
      el("ul", {}, notes.slice(0, shown).map((note) => entry(note, readOne))),
      (all || notes.length > shown) && el("div", { class: "more" },
        notes.length > shown && button("more-notes", "Show more", showMore),
        all && button("read-all", "Mark all as read", (event) => busy(event.currentTarget, readAll))),
    ];
  }, { head: [badge], flush: true });
}

/**
 * The ids of the unread notifications, so that marking them can be undone; more than can be undone if there are more.
 * @returns {Promise<string[]>}
 */
async function unreadIds() {
  if (!offers("GET /v1/notifications")) return Array(MOST_UNDONE + 1).fill("");
  /** @type {PageOf<Note>} */
  const { items, next_cursor: more } = await get(`/v1/notifications?unread=true&limit=${MOST_UNDONE}`);
  return [...items.map(({ id }) => id), ...(more ? [""] : [])];
}

/**
 * Returns a function that calls `ask`, and `take` with the response to the latest call.
 * @template T
 * @param {() => Promise<T>} ask
 * @param {(answer: T) => void} take
 */
function latest(ask, take) {
  let asked = 0;
  return async () => {
    const number = ++asked;
    try {
      const answer = await ask();
      if (number === asked) take(answer);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem; // keep the current content
    }
  };
}

/**
 * @param {Note} note
 * @param {(note: Note, words: string | null) => Promise<void>} readOne
 */
function entry(note, readOne) {
  const canRead = !note.read && offers("POST /v1/notifications/{id}/read");
  return el("li", { class: note.read ? "note read" : "note" },
    el("span", { class: "dot", "aria-hidden": "true" }),
    el("span", { class: "title" }, !note.read && el("span", { class: "hidden-text" }, "Unread: "), subject(note, canRead, readOne)),
    canRead ? el("button", {
      class: "link small", type: "button", "data-key": `read-${note.id}`, "aria-label": `Mark as read: ${note.title}`,
      onclick: (event) => busy(event.currentTarget, () => readOne(note, "Marked as read.")),
    }, "Mark read") : el("span"),
    note.body && el("span", { class: "body" }, note.body),
    since(note.created_at));
}

/**
 * The title, as a link to what happened if that has a page; who opens it has read the notification.
 * @param {Note} note
 * @param {boolean} canRead
 * @param {(note: Note, words: string | null) => Promise<void>} readOne
 */
function subject(note, canRead, readOne) {
  const [addressOf, operation] = PAGES[/** @type {string} */ (note.subject?.kind)] ?? [];
  if (!operation || !offers(operation)) return note.title;
  return linkTo(addressOf(/** @type {{id: string}} */ (note.subject).id), note.title, {
    "data-key": `note-${note.id}`,
    onclick: () => { if (canRead) readOne(note, null).catch((problem) => { if (!(problem instanceof Problem)) throw problem; }); },
  });
}
