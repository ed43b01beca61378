// The sections of the account page for name, address, picture and password.
import { call } from "./api.js";
import { busy, complain, el, replace, toast } from "./dom.js";
import { offers } from "./features.js";
import { field, form } from "./forms.js";
import { onDate } from "./format.js";
import { avatar } from "./profile.js";
import { withConfirmation } from "./providers.js";
import { resendButton } from "./verification.js";

/** @import { Child } from "./dom.js" */
/** @import { Home } from "./home.js" */
/** @import { Me, Profile } from "./me.js" */

let made = 0;

/**
 * A card of the account page. `key` is its name for scripts and tests.
 * @param {string} key
 * @param {string} title
 * @param {...Child} content
 */
export function section(key, title, ...content) {
  const heading = el("h2", { id: `section-${++made}` }, title);
  return el("section", { class: "card", "aria-labelledby": heading.id, "data-section": key },
    el("div", { class: "card-head" }, heading), el("div", { class: "card-body" }, content));
}

/**
 * Calls `show` with the account now and after each change, as long as `place` is on the page.
 * @param {Me} me
 * @param {Element} place
 * @param {(account: Profile) => void} show
 */
function follow(me, place, show) {
  const changed = () => {
    if (place.isConnected) show(/** @type {Profile} */ (me.value));
    else me.removeEventListener("change", changed);
  };
  me.addEventListener("change", changed);
  if (me.value) show(me.value);
}

/**
 * The field for the password of the signed-in user, which a step needs; hidden for an account without one.
 * @param {Me} me
 */
export function currentPassword(me) {
  const node = field("Current password", "current_password", { type: "password", autocomplete: "current-password", required: true });
  follow(me, node, ({ has_password: has = true }) => {
    node.hidden = !has;
    /** @type {HTMLInputElement} */ (node.querySelector("input")).disabled = !has;
  });
  return node;
}

/**
 * The password in a submitted form, as a part of the request; none for an account without one.
 * @param {FormData} data
 */
export const passwordIn = (data) => ({ current_password: data.get("current_password") ?? undefined });

/** @param {Home} home */
export function profileSection(home) {
  const { me } = home;
  const body = el("div", { class: "parts" }, el("p", { class: "muted" }, "Loading…"));
  follow(me, body, (account) => replace(body,
    pictureOf(home, account),
    offers("PATCH /v1/me") ? nameForm(home, account) : el("p", {}, account.name),
    addressOf(home, account)));
  return section("profile", "Profile", body);
}

/** @param {...Child} buttons */
const actions = (...buttons) => el("div", { class: "actions" }, buttons);
/**
 * @param {string} text
 * @param {string} [key]
 */
const submit = (text, key) => el("button", { class: "button primary", type: "submit", "data-key": key }, text);

/**
 * @param {Home} home
 * @param {Profile} account
 */
function pictureOf(home, account) {
  return el("div", { class: "profile" }, avatar(account, 72),
    el("div", { class: "text" },
      el("p", { class: "muted small" }, `Member since ${onDate(account.created_at)}`),
      el("div", { class: "profile-actions" },
        offers("PUT /v1/me/avatar") && el("span", { class: "button small file-button" }, "Change picture",
          el("input", { type: "file", accept: "image/png,image/jpeg,image/webp", "aria-label": "Change picture", "data-key": "picture", onchange: (event) => upload(home, /** @type {HTMLInputElement} */ (event.target)) })),
        account.avatar_url && offers("DELETE /v1/me/avatar") && el("button", { class: "button small", type: "button", "data-key": "no-picture", onclick: (event) => busy(event.currentTarget, () => remove(home)) }, "Remove picture"))));
}

/**
 * @param {Home} home
 * @param {HTMLInputElement} input
 */
async function upload(home, input) {
  const [file] = /** @type {FileList} */ (input.files);
  input.value = "";
  if (!file || input.ariaDisabled === "true") return;
  input.ariaDisabled = "true";
  try {
    await call("PUT", "/v1/me/avatar", { body: file, headers: { "Content-Type": file.type } });
    await shown(home);
    toast("Your picture has been changed.");
  } catch (problem) {
    complain(problem);
  } finally {
    input.ariaDisabled = null;
  }
}

/** @param {Home} home */
async function remove(home) {
  await call("DELETE", "/v1/me/avatar");
  await shown(home);
  toast("Your picture has been removed.");
}

/**
 * The account and the panel are read again; the stream brings the panel later, if that is not possible.
 * @param {Home} home
 */
const shown = (home) => Promise.all([home.me.refresh(), home.panels.reload("user").catch(() => {})]);

/**
 * @param {Home} home
 * @param {Profile} account
 */
function nameForm(home, account) {
  return form(
    [field("Name", "name", { value: account.name, required: true, maxlength: 100, autocomplete: "name", "data-key": "name" })],
    actions(submit("Save the name", "save-name")),
    async (data) => {
      if (data.get("name") === account.name) return;
      await rename(home, data.get("name"));
      /** @type {HTMLElement} */
      const undo = el("button", { class: "link", type: "button", onclick: () => busy(undo, () => rename(home, account.name)) }, "Undo");
      toast("Your name has been changed.", { action: undo });
    });
}

/**
 * @param {Home} home
 * @param {FormDataEntryValue | null} name
 */
async function rename(home, name) {
  await home.me.change({ name });
  await home.panels.reload("user").catch(() => {});
}

/**
 * @param {Home} home
 * @param {Profile} account
 */
function addressOf(home, account) {
  const { email, pending_email: pending, email_verified: isVerified } = account;
  return el("div", { class: "part" },
    el("p", {}, el("span", { class: "label" }, "E-mail: "), el("strong", { class: "address" }, email), " ",
      el("span", { class: isVerified ? "chip good" : "chip warn" }, isVerified ? "Confirmed" : "Not confirmed")),
    pending && el("p", { class: "waiting-address" }, "It changes to ", el("strong", { class: "address" }, pending), " as soon as you open the link in the mail that has been sent there."),
    (pending || !isVerified) && el("div", { class: "buttons" },
      offers("POST /v1/email-verifications/resend") && resendButton(home.me),
      pending && el("button", { class: "button small", type: "button", "data-key": "keep-address", onclick: (event) => busy(event.currentTarget, () => keepAddress(home, email)) }, "Keep the present address")),
    offers("PATCH /v1/me", "POST /v1/email-verifications") && el("details", { "data-key": "address" }, el("summary", { "data-key": "address-summary" }, "Use another address"), addressForm(home)));
}

/**
 * @param {Home} home
 * @param {string} email
 */
async function keepAddress(home, email) {
  await home.me.change({ email });
  toast(`Your address stays ${email}.`);
}

/** @param {Home} home */
const addressForm = (home) => form(
  [
    field("New e-mail address", "email", { type: "email", autocomplete: "email", required: true, "data-key": "new-address" }, "A link is sent there; the address changes when you open it."),
    currentPassword(home.me),
  ],
  actions(submit("Change the address", "change-address")),
  async (data) => {
    if (!(await withConfirmation(() => home.me.change({ email: data.get("email"), ...passwordIn(data) })))) return;
    if (/** @type {Profile} */ (home.me.value).pending_email) toast(`A link has been sent to ${/** @type {Profile} */ (home.me.value).pending_email}.`);
  });

/** @param {Home} home */
export function passwordSection(home) {
  const account = el("input", { type: "text", name: "username", autocomplete: "username", hidden: true, readonly: true, "aria-label": "E-mail" }); // for password managers
  const node = form(
    [
      account,
      currentPassword(home.me),
      field("New password", "password", { type: "password", autocomplete: "new-password", required: true, minlength: 8, maxlength: 128 }, "At least 8 characters. All other sessions end."),
    ],
    actions(submit("Change the password")),
    async (data) => {
      if (!(await withConfirmation(() => home.me.change({ password: data.get("password"), ...passwordIn(data) })))) return;
      node.reset();
      home.me.dispatchEvent(new Event("sessions"));
      toast("Your password has been changed. All other sessions have ended.");
    });
  follow(home.me, node, ({ email }) => { account.value = email; });
  return section("password", "Password", node);
}
