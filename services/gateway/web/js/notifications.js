// Notifications, and which of them are unread.
import { call, get, post, Problem } from "./api.js";
import { busy, el } from "./dom.js";
import { hasPanel, offers } from "./features.js";
import { count } from "./format.js";
import { panelCard } from "./panels.js";
import { since } from "./times.js";

const A_PANEL = 20;
const AT_FIRST = 7;

export function notificationsCard(panels) {
  const badge = el("span", { class: "count", hidden: true });
  const button = (key, text, work) => el("button", { class: "link small", type: "button", "data-key": key, onclick: work }, text);

  let shown = AT_FIRST;
  const showMore = () => {
    shown = A_PANEL;
    panels.dispatchEvent(new CustomEvent("notifications"));
  };

  /** All unread notifications, of which the panel may show only some. */
  let unread = 0;
  const tell = (number) => {
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
  let counted = null;

  async function readAll() {
    const answer = await post("/v1/notifications/read", { up_to: panels.of("notifications").data[0].id });
    tell(answer.unread);
    panels.patch("notifications", (notes) => notes.map((note) => ({ ...note, read: true })));
  }

  return panelCard(panels, "notifications", "Notifications", (notes) => {
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
      el("ul", {}, notes.slice(0, shown).map((note) => entry(panels, note))),
      (all || notes.length > shown) && el("div", { class: "more" }, 
        notes.length > shown && button("more-notes", "Show more", showMore),
        all && button("read-all", "Mark all as read", (event) => busy(event.currentTarget, readAll))),
    ];
  }, { head: [badge], flush: true });
}

/** Returns a function that calls `ask`, and `take` with the response to the latest call. */
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

function entry(panels, note) {
  return el("li", { class: note.read ? "note read" : "note" },
    el("span", { class: "dot", "aria-hidden": "true" }),
    el("span", { class: "title" }, !note.read && el("span", { class: "hidden-text" }, "Unread: "), note.title),
    note.read || !offers("POST /v1/notifications/{id}/read") ? el("span") : el("button", {
      class: "link small", type: "button", "data-key": `read-${note.id}`, "aria-label": `Mark as read: ${note.title}`,
      onclick: (event) => busy(event.currentTarget, () => read(panels, note)),
    }, "Mark read"),
    since(note.created_at));
}

async function read(panels, note) {
  await call("POST", `/v1/notifications/${note.id}/read`);
  panels.patch("notifications", (notes) => notes.map((each) => (each.id === note.id ? { ...each, read: true } : each)));
}
