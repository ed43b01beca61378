// The views of the page, selected by the part of the address after the `#`, such as `#/account`.
import { el, focusHeading } from "./dom.js";

const SITE = "Dashboard";

/**
 * What a view is opened with.
 * @typedef {object} Visit
 * @property {Record<string, string>} params  the variable parts of the address, by name
 * @property {URLSearchParams} query  what follows the `?` in the address
 * @property {string | null} token  the token of a link from a mail; the address no longer contains it
 * @property {import("./home.js").Home | null} home  the panels and the live stream; null unless signed in
 */

/**
 * `title` is in the title of the document; null for the name of the site alone. `access`: others see the sign-in form, or
 * the dashboard. `open` fills the place; the function that it may return is called when the view is left.
 * @typedef {{title: string | null, access: "signed-in", open: (place: HTMLElement, visit: HomeVisit) => (void | (() => void))}} HomeView
 * @typedef {{title: string | null, access: "signed-out" | "anyone", open: (place: HTMLElement, visit: Visit) => (void | (() => void))}} OpenView
 * @typedef {HomeView | OpenView} View
 * @typedef {Visit & {home: import("./home.js").Home}} HomeVisit
 */

/** @type {{ path: RegExp, names: string[], view: View }[]} */
const routes = [];

/**
 * Registers the view of all addresses of a form such as `/orders/{id}`, without the `#`.
 * @param {string} pattern
 * @param {View} view
 */
export function route(pattern, view) {
  const names = [...pattern.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
  routes.push({ path: new RegExp(`^${pattern.replace(/\{\w+\}/g, "([\\w-]+)")}$`), names, view });
}

/**
 * The route of an address, the part from the `#`; null if there is none.
 * @param {string} hash
 */
export function find(hash) {
  const [address, query] = hash.replace(/^#?\/?/, "/").split(/\?(.*)/s);
  for (const { path, names, view } of routes) {
    const found = path.exec(address);
    if (found) return { view, address, params: Object.fromEntries(names.map((name, index) => [name, found[index + 1]])), query: new URLSearchParams(query) };
  }
  return null;
}

/**
 * Splits the token off an address, so that it can be removed there: `#/verify?token=T` → `{ hash: "#/verify", token: "T" }`.
 * @param {string} hash
 */
export function withoutToken(hash) {
  const [address, query] = hash.split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  const token = address.startsWith("#/") ? parameters.get("token") : null;
  if (token === null) return { hash, token };
  parameters.delete("token");
  return { hash: parameters.size ? `${address}?${parameters}` : address, token };
}

/** @param {string | null} title */
const nameDocument = (title) => { document.title = title ? `${title} · ${SITE}` : SITE; };

/**
 * Changes the address within a view, which stays open. Back leads to the former one.
 * @param {string} hash
 * @param {string} title
 */
export function rename(hash, title) {
  history.pushState(null, "", hash);
  nameDocument(title);
}

/**
 * Opens a view instead of the present one, to which Back does not lead.
 * @param {string} hash
 */
export function redirect(hash) {
  history.replaceState(null, "", hash);
  dispatchEvent(new HashChangeEvent("hashchange"));
}

/** Shows the view of the address in `place`, and follows the address once it is started. */
export class Router {
  /** @type {HTMLElement} */
  #place;
  /** @type {() => (import("./home.js").Home | null)} */
  #home;
  /** @type {string | null} */
  #token = null;
  /** @type {(() => void) | null} */
  #leave = null;

  /**
   * Removes the token of a link from the address at once.
   * @param {HTMLElement} place
   * @param {() => (import("./home.js").Home | null)} home  of the signed-in user
   */
  constructor(place, home) {
    this.#place = place;
    this.#home = home;
    this.#takeToken();
  }

  start() {
    addEventListener("hashchange", () => {
      this.#takeToken();
      this.show({ moves: true });
    });
    this.show();
  }

  /** Opens the view of the address. The focus goes to its heading if the user has `moved` there from another view. */
  show({ moves = false } = {}) {
    const home = this.#home();
    const found = find(location.hash) ?? find("/");
    if (!found) return;
    if (found.view.access === "signed-out" && home) {
      history.replaceState(null, "", "#/");
      this.show({ moves });
      return;
    }
    const { view } = found.view.access === "signed-in" && !home ? find("/sign-in") ?? found : found;
    for (const dialog of document.querySelectorAll("dialog")) dialog.close();
    this.#leave?.();
    nameDocument(view.title);
    this.#leave = view.open(this.#place, /** @type {HomeVisit} */ ({ params: found.params, query: found.query, token: this.#token, home })) ?? null;
    if (moves) scrollTo(0, 0);
    if (this.#place.contains(document.activeElement) && document.activeElement !== this.#place) return;
    if (moves) focusHeading(this.#place);
    else this.#place.focus({ preventScroll: true });
  }

  #takeToken() {
    const { hash, token } = withoutToken(location.hash);
    this.#token = token;
    if (token === null) return;
    history.replaceState(history.state, "", location.pathname + location.search + hash);
  }
}

/**
 * A link to another view.
 * @param {string} hash
 * @param {string} text
 * @param {Record<string, unknown>} [attributes]
 */
export const linkTo = (hash, text, attributes = {}) => el("a", { href: `/${hash}`, ...attributes }, text);
