// Sign-in and registration.
import { Problem } from "./api.js";
import { el, replace } from "./dom.js";
import { hasPanel, offers } from "./features.js";
import { field, form } from "./forms.js";
import * as providers from "./providers.js";
import * as session from "./account-session.js";
import { HAS_ACCOUNTS } from "./session.js";
import { tokenDoor } from "./token-door.js";

/** @typedef {{first?: string, changed?: (address: string, title: string) => void}} Choice */

const TITLES = { "sign-in": "Sign in", register: "Create account" };

/**
 * The way in; `message` says why a user was signed out. `first` is the form that is shown first, and `changed(address,
 * title)` is called when the user chooses the other one.
 * @param {string | null} message
 * @param {Choice} [choice]
 */
export const door = (message, choice) => (HAS_ACCOUNTS ? accountDoor : tokenDoor)(message, choice);

/**
 * @param {string | null} message
 * @param {Choice} choice
 */
function accountDoor(message, { first = "sign-in", changed = () => {} } = {}) {
  const body = el("div");
  const tabs = el("div", { class: "segments", role: "group", "aria-label": "What to do", hidden: !offers("POST /v1/users") });
  let email = "";

  const show = (/** @type {string} */ which) => {
    email = /** @type {HTMLInputElement | null} */ (body.querySelector("[name=email]"))?.value ?? email;
    tabs.replaceChildren(...Object.entries(TITLES).map(([key, title]) =>
      el("button", { type: "button", "aria-pressed": String(key === which), onclick: () => { show(key); changed(`#/${key}`, title); } }, title)));
    replace(body, which === "register" ? registration(email) : signingIn(email), providers.providerButtons());
    /** @type {HTMLInputElement} */ (body.querySelector("input")).focus();
  };
  const linking = providers.linkForm(() => {
    tabs.hidden = !offers("POST /v1/users");
    show("sign-in");
  });
  if (linking) {
    tabs.hidden = true;
    body.append(linking);
  } else show(first);

  const note = el("p", { class: "form-error", role: "alert" });
  const tell = (/** @type {string | null} */ text) => {
    note.textContent = text ?? "";
    note.hidden = !text;
  };
  tell(message ?? providers.failure() ?? session.unfinished());
  session.changes.addEventListener("ending", (/** @type {Told} */ { detail }) => tell(detail ?? message));

  return el("div", { class: "door" },
    el("div", { class: "intro" },
      el("h1", {}, "Everything at a glance"),
      el("p", {}, hasPanel("orders") ? "Your orders, spending and notifications, live." : "Your dashboard, live.")),
    note,
    el("div", { class: "card" }, el("div", { class: "card-body" }, tabs, body)));
}

/** @param {string} value */
const address = (value) => field("E-mail", "email", { type: "email", autocomplete: "username", required: true, value });

/** @param {string} email */
function signingIn(email) {
  return form(
    [address(email), field("Password", "password", { type: "password", autocomplete: "current-password", required: true })],
    [
      el("button", { class: "button primary", type: "submit" }, "Sign in"),
      offers("POST /v1/password-resets") && el("p", { class: "onwards small" }, el("a", { href: "/#/forgot" }, "Forgot password?")),
    ].filter(Boolean),
    (data) => enter(/** @type {string} */ (data.get("email")), /** @type {string} */ (data.get("password"))));
}

/** @param {string} email */
function registration(email) {
  return form(
    [
      field("Name", "name", { autocomplete: "name", required: true, maxlength: 100 }),
      address(email),
      field("Password", "password", { type: "password", autocomplete: "new-password", required: true, minlength: 8, maxlength: 128 },
        "At least 8 characters."),
    ],
    el("button", { class: "button primary", type: "submit" }, "Create account"),
    async (data) => {
      await register(Object.fromEntries(data));
      await enter(/** @type {string} */ (data.get("email")), /** @type {string} */ (data.get("password")));
    });
}

/** @param {Record<string, FormDataEntryValue>} body */
async function register(body) {
  const response = await attempt(() => fetch("/v1/users", {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  }));
  if (!response.ok) throw await Problem.of(response);
}

/**
 * @param {string} email
 * @param {string} password
 */
async function enter(email, password) {
  try {
    await attempt(() => session.signIn(email, password));
  } catch (refused) {
    throw refused instanceof Response ? await Problem.of(refused) : refused;
  }
}

/**
 * @template T
 * @param {() => Promise<T>} work
 */
async function attempt(work) {
  try {
    return await work();
  } catch (failure) {
    if (failure instanceof TypeError) throw new Problem(0);
    throw failure;
  }
}
