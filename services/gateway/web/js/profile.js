// The profile: the card, the picture, and the menu in the corner.
import { call, get, Problem } from "./api.js";
import { personOf } from "./claims.js";
import { el, replace } from "./dom.js";
import { initials, onDate } from "./format.js";
import { hasPanel, offers } from "./features.js";
import { panelCard } from "./panels.js";
import * as session from "./session.js";

/** @import { Panel, Panels } from "./panels.js" */
/** @typedef {{name: string, email: string | null, avatar_url?: string | null}} Person */

/** Whether the page at `#/account` exists. */
export const HAS_ACCOUNT_PAGE = session.HAS_ACCOUNTS && offers("GET /v1/me");

/** @type {Map<string, Promise<string>>} */
const pictures = new Map();

/**
 * A picture as an object URL, fetched once: the request needs the token, which an `<img>` cannot send.
 * @param {string} url
 * @param {number} size
 * @returns {Promise<string>}
 */
function picture(url, size) {
  const at = new URL(url, location.origin);
  at.searchParams.set("size", String(size));
  const key = at.pathname + at.search;
  if (!pictures.has(key)) {
    pictures.set(key, call("GET", key).then((response) => response.blob()).then((blob) => URL.createObjectURL(blob)));
    /** @type {Promise<string>} */ (pictures.get(key)).catch(() => pictures.delete(key));
  }
  return /** @type {Promise<string>} */ (pictures.get(key));
}

/**
 * @param {{name: string, avatar_url?: string | null}} user
 * @param {number} size
 */
export function avatar(user, size) {
  const place = el("span", { class: size > 40 ? "avatar large" : "avatar", "aria-hidden": "true" }, initials(user.name));
  if (user.avatar_url && offers("GET /v1/users/{id}/avatar")) {
    picture(user.avatar_url, size > 40 ? 256 : 64)
      .then((src) => place.replaceChildren(el("img", { src, alt: "" })))
      .catch(() => {}); // keep the initials
  }
  return place;
}

/** @param {Panels} panels */
export function profileCard(panels) {
  return panelCard(panels, "user", "Profile", (/** @type {Person & {email: string, created_at: string}} */ user) => [
    el("div", { class: "profile" }, avatar(user, 72),
      el("div", { class: "text" },
        el("p", { class: "name", title: user.name }, user.name),
        el("p", { class: "muted", title: user.email }, user.email),
        el("p", { class: "muted small" }, `Member since ${onDate(user.created_at)}`))),
    HAS_ACCOUNT_PAGE && el("div", { class: "profile-actions" }, el("a", { class: "button small", href: "#/account", "data-key": "account" }, "Edit profile")),
  ].filter(Boolean));
}

/**
 * The button in the corner, and its menu.
 * @param {Panels | null} panels
 */
export function accountMenu(panels) {
  const button = el("button", { class: "who-button", type: "button", popovertarget: "account-menu", "aria-label": "Account" },
    el("span", { class: "avatar", "aria-hidden": "true" }, "…"));
  const who = el("div", { class: "who" }, "Signed in");
  const { role } = session.claims();
  /** @type {HTMLElement} */
  const menu = el("div", { id: "account-menu", class: "menu", popover: "auto" }, who,
    HAS_ACCOUNT_PAGE && el("a", { href: "/#/account", onclick: () => menu.hidePopover() }, "Your account"),
    ["admin", "support"].includes(role) && el("a", { href: "/ops" }, "Operations"),
    el("button", { type: "button", onclick: () => session.signOut() }, "Sign out"));
  const show = (/** @type {Person} */ user) => {
    replace(button, avatar(user, 36));
    replace(who, el("strong", {}, user.name), user.email && [el("br"), el("span", { class: "muted" }, user.email)]);
  };
  if (!session.HAS_ACCOUNTS) {
    const { name, email, id } = personOf(session.claims());
    if (name ?? email ?? id) show({ name: /** @type {string} */ (name ?? email ?? id), email: name ? email ?? id : null });
  } else if (panels && hasPanel("user")) {
    panels.addEventListener("user", () => {
      const user = /** @type {Panel} */ (panels.of("user")).data;
      if (user) show(user);
    });
  } else if (offers("GET /v1/me")) nameFromServer(show);
  return el("div", {}, button, menu);
}

/** @param {(user: Person) => void} show */
async function nameFromServer(show) {
  try {
    show(await get("/v1/me"));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
  }
}
