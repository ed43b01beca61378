// Creates elements. Text always becomes a text node: user input is never parsed as HTML.

import { Problem } from "./api.js";

const SVG = "http://www.w3.org/2000/svg";
/** @typedef {keyof typeof PATHS} Icon */

const PATHS = {
  sun: "M12 4V2m0 20v-2m8-8h2M2 12h2m13.7-5.7 1.4-1.4M4.9 19.1l1.4-1.4m0-11.4L4.9 4.9m14.2 14.2-1.4-1.4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z",
  moon: "M20.5 14.1A8.5 8.5 0 0 1 9.9 3.5a8.5 8.5 0 1 0 10.6 10.6Z",
  contrast: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm0 0v18",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
};

/** @typedef {(event: Event & {currentTarget: HTMLElement}) => unknown} Listener */
/** @typedef {{onclick?: Listener, oninput?: Listener, onchange?: Listener, [name: string]: unknown}} Attributes */
/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */

/**
 * Creates an element: attributes by name, `on…` for listeners, without a value if it is `true`.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} attributes
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
    else if (value === true) made.setAttribute(name, "");
    else made.setAttribute(name, String(value));
  }
  made.append(...nodes(children));
  return made;
}

/**
 * @param {Child[]} children
 * @returns {(Node | string)[]}
 */
function nodes(children) {
  return /** @type {any[]} */ (children.flat()).filter((child) => child !== null && child !== undefined && child !== false);
}

/** @param {Icon} name */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.8",
    "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
  })) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

const FOCUSABLE = "a[href], button:not([disabled]), input:not([disabled]), select:not([disabled]), summary, [tabindex='0']";
const ROW = "tr, li, .row, .entry, .profile";

/**
 * Replaces the content of `place`. Open details stay open. The focus stays on the element with the same `data-key`;
 * if that is gone, it moves to the nearest one, first within its row, or else to the heading of its card. The page
 * does not scroll there, because the user may have scrolled away from the focus.
 * @param {Element} place
 * @param {...Child} children
 */
export function replace(place, ...children) {
  const open = all(place, "details[open][data-key]").map(({ dataset }) => dataset.key ?? "");
  const focused = /** @type {HTMLElement | null} */ (document.activeElement);
  const hadFocus = place.contains(focused);
  const keys = focused && hadFocus ? nearestKeys(place, focused) : [];
  place.replaceChildren(.../** @type {any[]} */ (children.flat()).filter(Boolean));
  for (const key of open) withKey(key, place)?.setAttribute("open", "");
  if (hadFocus) focusFirst(keys.map((key) => withKey(key, place)), place, { preventScroll: true });
}

/**
 * @param {Element} place
 * @param {string} selector
 * @returns {HTMLElement[]}
 */
const all = (place, selector) => [.../** @type {NodeListOf<HTMLElement>} */ (place.querySelectorAll(selector))];

/**
 * @param {string} key
 * @param {ParentNode} place
 * @returns {HTMLElement | null}
 */
const withKey = (key, place = document) => place.querySelector(`[data-key="${CSS.escape(key)}"]`);

/**
 * The keys of the focus candidates: the element's own, those of its row, the following ones, the preceding ones.
 * @param {Element} place
 * @param {HTMLElement} focused
 */
function nearestKeys(place, focused) {
  const candidates = all(place, FOCUSABLE);
  const at = candidates.indexOf(focused);
  const row = focused.closest(ROW);
  const near = [...candidates.slice(at), ...candidates.slice(0, Math.max(at, 0)).reverse()];
  const inRow = near.filter((each) => row?.contains(each));
  return [focused, ...inRow, ...near].map(({ dataset }) => dataset.key ?? "").filter(Boolean);
}

/**
 * @param {(HTMLElement | null | undefined)[]} elements
 * @param {Element} place
 * @param {FocusOptions} [options]
 */
function focusFirst(elements, place, options) {
  for (const element of elements) {
    element?.focus(options);
    if (element && element !== document.body && document.activeElement === element) return;
  }
  focusHeading(place);
}

/**
 * The heading of the card or dialog around `place`, or the content of the page.
 * @param {Element} place
 */
export function focusHeading(place) {
  const around = place.closest("section.card, dialog") ?? byId("content");
  const heading = /** @type {HTMLElement} */ (around.querySelector("h1, h2") ?? around);
  heading.tabIndex = -1;
  heading.focus();
}

/**
 * An element that every page has.
 * @param {string} id
 */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/**
 * The element that had the focus may have been replaced or removed since.
 * @param {HTMLElement} before
 * @param {Element | null} card
 */
function focusAgain(before, card) {
  const again = before.isConnected ? before : before.dataset?.key ? withKey(before.dataset.key) : null;
  focusFirst([again], card?.isConnected ? card : document.body);
}

/**
 * Runs `work` for a click on `button`, which keeps the focus and ignores further clicks until that is done. Shows an
 * error if it fails.
 * @param {HTMLElement} button
 * @param {() => unknown} work
 */
export async function busy(button, work) {
  if (button.ariaDisabled === "true") return;
  button.ariaDisabled = "true";
  try {
    await work();
  } catch (problem) {
    complain(problem);
  } finally {
    button.ariaDisabled = null;
  }
}

const MOST_TOASTS = 3;
const TOAST_MS = 6000;

/**
 * Shows a notice; screen readers announce it, also while a dialog is open. `stays`: until it is dismissed. `action` is a
 * button in it.
 * @param {string} text
 * @param {{stays?: boolean, action?: HTMLElement | null}} options
 */
export function toast(text, { stays = false, action = null } = {}) {
  const place = toastPlace();
  const dismiss = el("button", { class: "icon-button", type: "button", "aria-label": "Dismiss" }, icon("close"));
  const shown = el("div", { class: "toast", "data-stays": stays }, el("span", { class: "grow" }, text), action, dismiss);
  /** @type {HTMLElement | null} */
  let before = null;
  shown.addEventListener("focusin", ({ relatedTarget }) => { before ??= /** @type {HTMLElement | null} */ (relatedTarget); });
  const remove = () => {
    const next = (shown.nextElementSibling ?? shown.previousElementSibling)?.querySelector("button");
    const hadFocus = shown.contains(document.activeElement);
    shown.remove();
    if (hadFocus) focusFirst([next, before], document.querySelector("dialog[open] .dialog-body") ?? document.body);
  };
  /** @returns {unknown} */
  const expire = () => (shown.matches(":hover, :focus-within") ? setTimeout(expire, TOAST_MS) : remove());
  dismiss.addEventListener("click", remove);
  if (!stays) setTimeout(expire, TOAST_MS);
  place.append(shown);
  // Errors and other notices that stay are never displaced.
  if (place.childElementCount > MOST_TOASTS) [...place.children].find((each) => each !== shown && !("stays" in /** @type {HTMLElement} */ (each).dataset))?.remove();
}

/**
 * Shows why something failed; raises anything that is not a `Problem`.
 * @param {unknown} problem
 */
export function complain(problem) {
  if (!(problem instanceof Problem)) throw problem;
  toast(problem.message, { stays: true });
}

/** Inside the open dialog, because everything outside it is inert. */
const toastPlace = () => [...document.querySelectorAll("dialog[open] > .toasts")].at(-1) ?? byId("toasts");

let dialogs = 0;

/**
 * A modal dialog, removed when it is closed. `fill` receives a function that closes it.
 * @param {string} title
 * @param {(close: () => void) => Child} fill
 */
export function openDialog(title, fill, { wide = false } = {}) {
  const heading = el("h2", { id: `dialog-title-${++dialogs}`, class: "grow" }, title);
  const close = () => { dialog.close(); };
  const toasts = el("div", { class: "toasts", role: "status" });
  const body = el("div", { class: "dialog-body" });
  const dialog = el(
    "dialog", { "aria-labelledby": heading.id, class: wide ? "wide" : null },
    el("div", { class: "dialog-head" }, heading,
      el("button", { class: "icon-button", type: "button", "aria-label": "Close", onclick: close }, icon("close"))),
    body, toasts,
  );
  body.append(...nodes([fill(close)]));
  const before = /** @type {HTMLElement} */ (document.activeElement);
  const card = before.closest("section.card");
  dialog.addEventListener("close", () => {
    const hadFocus = document.activeElement === document.body || dialog.contains(document.activeElement);
    dialog.remove();
    toastPlace().append(...toasts.children);
    if (hadFocus) focusAgain(before, card);
  });
  document.body.append(dialog);
  dialog.showModal();
  /** @type {HTMLElement | null} */ (body.querySelector("input:enabled, select"))?.focus();
  return dialog;
}

/**
 * Asks for confirmation before an irreversible action.
 * @param {string} title
 * @param {Child} text
 * @param {string} action
 * @returns {Promise<boolean>}
 */
export function confirmed(title, text, action, otherwise = "Keep it") {
  return new Promise((decide) => {
    const dialog = openDialog(title, (close) => [
      el("p", { class: "muted" }, text),
      el("div", { class: "actions" },
        el("button", { class: "button", type: "button", onclick: close }, otherwise),
        el("button", { class: "button primary", type: "button", onclick: () => { decide(true); close(); } }, action)),
    ]);
    /** @type {HTMLElement} */ (dialog.querySelector(".actions")).style.marginTop = "20px";
    dialog.addEventListener("close", () => decide(false));
  });
}
