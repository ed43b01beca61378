// Signing in with an identity provider: the buttons, the way back from the provider, and the identities of an account.
import { Problem, call, get } from "./api.js";
import { busy, complain, el, openDialog, toast } from "./dom.js";
import { offers } from "./features.js";
import { field, form } from "./forms.js";
import { onDate } from "./format.js";
import { listCard } from "./list-card.js";
import { wordsForSignIn } from "./messages.js";
import * as session from "./account-session.js";

const PATH = "/v1/identity-providers";
const IDENTITIES = "/v1/me/identities";
/** @type {Record<string, string>} */
const DONE = { linked: "You can now sign in this way, too.", confirmed: "It is confirmed that it is you. Go on within five minutes." };

/** How the browser has returned from a provider: `{error}`, `{done}` or `{ticket, provider}`; taken out of the address. */
let returned = takeFromAddress();

/** @returns {Record<string, string> | null} */
function takeFromAddress() {
  const [, place, query] = /^#\/(sign-in|account|link)\?(.*)$/.exec(location.hash) ?? [];
  if (!place) return null;
  const told = Object.fromEntries(new URLSearchParams(query));
  if (!told.error && !told.done && !(place === "link" && told.ticket)) return null;
  history.replaceState(null, "", place === "account" ? "#/account" : location.pathname);
  return told;
}

/** @param {string} name */
function take(name) {
  const told = returned?.[name] ?? null;
  if (told !== null) returned = null;
  return told;
}

/** Why a sign-in with a provider has failed, once; null if none has. */
export function failure() {
  const error = take("error");
  return error === null ? null : wordsForSignIn(error);
}

/** Tells a signed-in user how a sign-in with a provider has ended, once. */
export function tellReturned() {
  if (!session.isSignedIn()) return;
  const error = failure();
  const done = take("done");
  if (error) toast(error, { stays: true });
  else if (/** @type {string} */ (done) in DONE) toast(DONE[/** @type {string} */ (done)]);
}

/** When the providers are read again, if they could not be. */
const AGAIN_MS = 3000;

/** @type {Promise<IdentityProvider[]> | null} */
let known = null;

/**
 * The configured providers, `[{name, title}]`; none if they cannot be read.
 * @returns {Promise<IdentityProvider[]>}
 */
function providers() {
  known ??= offers(`GET ${PATH}`) ? read() : Promise.resolve([]);
  return known;
}

/** @returns {Promise<IdentityProvider[]>} */
async function read() {
  try {
    const response = await fetch(PATH);
    if (response.ok) return await response.json();
  } catch {} // the server cannot be reached
  known = null; // the next call reads again
  return [];
}

/** Buttons that lead to the providers; nothing if there are none. */
export function providerButtons() {
  const place = el("div", { class: "providers", hidden: true });
  const show = async () => {
    const all = await providers();
    if (known === null && place.isConnected) setTimeout(show, AGAIN_MS);
    if (!all.length) return;
    place.append(el("p", { class: "or" }, "or"), ...all.map((each) =>
      el("button", { class: "button", type: "button", onclick: (event) => busy(event.currentTarget, () => signIn(each)) }, `Sign in with ${each.title}`)));
    place.hidden = false;
  };
  show();
  return place;
}

/** @param {IdentityProvider} provider */
async function signIn({ name }) {
  await session.finishSignOut().catch(() => { throw new Problem(0); });
  location.assign(`${PATH}/${name}/sign-in`);
}

/**
 * The form for the password of the account to which an identity is linked; null if none is to be linked.
 * @param {() => void} otherwise
 */
export function linkForm(otherwise) {
  /** @type {Record<string, string>} */
  const { ticket, provider } = returned ?? {};
  if (!ticket) return null;
  const leave = () => {
    returned = null;
    otherwise();
  };
  return el("div", { class: "linking" },
    el("h2", {}, "You have an account already"),
    el("p", { class: "muted" }, `Your address at ${provider ?? "the provider"} belongs to an account here. Enter the password of that account once, to sign in to it with ${provider ?? "the provider"} from now on.`),
    form(
      [field("Password", "password", { type: "password", autocomplete: "current-password", required: true })],
      el("div", { class: "actions" },
        el("button", { class: "button", type: "button", onclick: leave }, "Cancel"),
        el("button", { class: "button primary", type: "submit" }, "Link and sign in")),
      async (data) => {
        await link(ticket, /** @type {string} */ (data.get("password")));
        returned = null;
      }));
}

/**
 * @param {string} ticket
 * @param {string} password
 */
async function link(ticket, password) {
  try {
    await session.link(ticket, password);
  } catch (refused) {
    if (refused instanceof Response) throw await Problem.of(refused);
    throw refused instanceof TypeError ? new Problem(0) : refused;
  }
}

/**
 * Sends a signed-in user to a provider, to `link` an identity or to `confirm` who they are.
 * @param {string} name
 * @param {"link" | "confirm"} purpose
 * @param {FormDataEntryValue | null} [password]
 */
async function leave(name, purpose, password) {
  const body = password ? { purpose, current_password: password } : { purpose };
  const { url } = await (await call("POST", `${PATH}/${name}/sign-in`, { json: body })).json();
  location.assign(url);
}

/**
 * The section of the account page with the ways to sign in. `hasPassword()` says whether the account has a password.
 * @param {() => Promise<boolean>} hasPassword
 */
export function identitiesSection(hasPassword = async () => (await get("/v1/me")).has_password) {
  const { card, reload } = listCard("Ways to sign in", async () => {
    const [all, { items }, withPassword] = await Promise.all([providers(), get(`${IDENTITIES}?limit=100`), hasPassword()]);
    return { all, items, withPassword };
  }, (/** @type {{all: IdentityProvider[], items: Identity[], withPassword: boolean}} */ { all, items, withPassword }) => {
    const titles = Object.fromEntries(all.map(({ name, title }) => [name, title]));
    const linked = new Set(items.map(({ provider }) => provider));
    return [
      withPassword
        ? el("div", { class: "row" }, el("span", { class: "what" }, "Password"))
        : el("div", { class: "row" }, el("span", { class: "what muted small" }, "Your account has no password. Before a change such as a new password, confirm that it is you.")),
      ...items.map((each) => row(each, titles[each.provider] ?? each.provider, withPassword || items.length > 1, reload)),
      el("div", { class: "more" },
        ...all.filter(({ name }) => !withPassword && linked.has(name)).map((each) =>
          el("button", { class: "button small", type: "button", "data-key": `confirm-${each.name}`, onclick: (event) => busy(event.currentTarget, () => leave(each.name, "confirm")) }, `Confirm with ${each.title}`)),
        ...all.filter(({ name }) => !linked.has(name)).map((each) =>
          el("button", { class: "button small", type: "button", "data-key": `link-${each.name}`, onclick: (event) => busy(event.currentTarget, () => add(each, withPassword)) }, `Add ${each.title}`))),
    ];
  });
  card.dataset.section = "identities";
  return card;
}

/**
 * The only way to sign in cannot be removed.
 * @param {Identity} identity
 * @param {string} title
 * @param {boolean} removable
 * @param {() => Promise<void>} reload
 */
function row({ id, email, created_at: began, last_used_at: used }, title, removable, reload) {
  return el("div", { class: "row", "data-identity": id },
    el("span", { class: "what" }, title, el("br"),
      el("span", { class: "muted small" }, email && `${email} · `, `added on ${onDate(began)}`, used && ` · last used on ${onDate(used)}`)),
    el("span"),
    removable && offers(`DELETE ${IDENTITIES}/{id}`) && el("span", { class: "buttons" },
      el("button", { class: "button small", type: "button", "data-key": `unlink-${id}`, "aria-label": `Remove ${title}`, onclick: (event) => busy(event.currentTarget, () => unlink(id, title, reload)) }, "Remove")));
}

/**
 * @param {string} id
 * @param {string} title
 * @param {() => Promise<void>} reload
 */
async function unlink(id, title, reload) {
  await call("DELETE", `${IDENTITIES}/${id}`);
  toast(`You cannot sign in with ${title} any more.`);
  await reload();
}

/**
 * @param {IdentityProvider} provider
 * @param {boolean} withPassword
 */
async function add({ name, title }, withPassword) {
  if (!withPassword) {
    await leave(name, "link");
    return;
  }
  openDialog(`Add ${title}`, (close) => form(
    [field("Current password", "current_password", { type: "password", autocomplete: "current-password", required: true })],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Cancel"),
      el("button", { class: "button primary", type: "submit" }, `Go to ${title}`)),
    (data) => leave(name, "link", data.get("current_password"))));
}

/**
 * Runs work that needs a recent sign-in. If there is none, which the server says for an account without a password, asks
 * the user to confirm with a provider, and returns false.
 * @param {() => unknown} work
 */
export async function withConfirmation(work) {
  try {
    await work();
    return true;
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.code !== "recent_sign_in_required") throw problem;
  }
  /** @type {[IdentityProvider[], {items: Identity[]}]} */
  const [all, { items }] = await Promise.all([providers(), get(`${IDENTITIES}?limit=100`)]);
  const linked = new Set(items.map(({ provider }) => provider));
  openDialog("Confirm that it is you", (close) => [
    el("p", { class: "muted" }, "Sign in again, then repeat what you wanted to do within five minutes."),
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Cancel"),
      ...all.filter(({ name }) => linked.has(name)).map((each) =>
        el("button", { class: "button primary", type: "button", onclick: () => leave(each.name, "confirm").catch(complain) }, `Sign in with ${each.title}`))),
  ]);
  return false;
}
