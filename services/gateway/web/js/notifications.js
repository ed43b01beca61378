// What has happened, and what of it is new.
import { call } from "./api.js";
import { el, toast } from "./dom.js";
import { ago, count, whenExactly } from "./format.js";
import { panelCard } from "./panels.js";

const A_PANEL = 20;
const AT_FIRST = 7;

export function notificationsCard(panels) {
  const unread = el("span", { class: "count", hidden: true });
  const everything = el("button", { class: "link small", type: "button", hidden: true }, "Mark all as read");
  everything.addEventListener("click", () => readAll(panels, everything));

  let shown = AT_FIRST;
  const more = el("button", { class: "link small", type: "button", "data-key": "more-notes" }, "Show more");
  more.addEventListener("click", () => {
    shown = A_PANEL;
    panels.dispatchEvent(new CustomEvent("notifications"));
  });

  return panelCard(panels, "notifications", "Notifications", (notes) => {
    const fresh = notes.filter((note) => !note.read).length;
    unread.hidden = fresh === 0;
    unread.textContent = `${count(fresh)}${fresh === A_PANEL ? "+" : ""} new`;
    everything.hidden = fresh < 2;
    document.title = fresh ? `(${fresh}) Dashboard` : "Dashboard";
    if (!notes.length) return el("p", { class: "empty" }, "Nothing yet. What happens to your orders appears here.");
    return [
      el("ul", {}, notes.slice(0, shown).map((note) => entry(panels, note))),
      (fresh >= 2 || notes.length > shown) && el("div", { class: "more" }, notes.length > shown && more, everything),
    ];
  }, { head: [unread], flush: true });
}

function entry(panels, note) {
  return el("li", { class: note.read ? "note read" : "note" },
    el("span", { class: "dot", "aria-hidden": "true" }),
    el("span", { class: "title" }, !note.read && el("span", { class: "hidden-text" }, "Unread: "), note.title),
    note.read ? el("span") : el("button", {
      class: "link small", type: "button", "data-key": `read-${note.id}`, "aria-label": `Mark as read: ${note.title}`,
      onclick: (event) => read(panels, note, event.currentTarget),
    }, "Mark read"),
    el("time", { datetime: note.created_at, title: whenExactly(note.created_at) }, ago(note.created_at)));
}

async function read(panels, note, button) {
  button.disabled = true;
  try {
    await call("POST", `/v1/notifications/${note.id}/read`);
    panels.patch("notifications", (notes) => notes.map((each) => (each.id === note.id ? { ...each, read: true } : each)));
  } catch (problem) {
    button.disabled = false;
    toast(problem.message);
  }
}

async function readAll(panels, button) {
  button.disabled = true;
  const unread = panels.of("notifications").data.filter((note) => !note.read);
  const outcomes = await Promise.allSettled(unread.map((note) => call("POST", `/v1/notifications/${note.id}/read`)));
  const done = new Set(unread.filter((_, index) => outcomes[index].status === "fulfilled").map(({ id }) => id));
  panels.patch("notifications", (notes) => notes.map((each) => (done.has(each.id) ? { ...each, read: true } : each)));
  button.disabled = false;
  const failed = outcomes.find(({ status }) => status === "rejected");
  if (failed) toast(failed.reason.message);
}
