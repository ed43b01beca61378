// A forgotten password: the request for a link, and the view behind that link.
import { call, post } from "./api.js";
import { el, replace, toast } from "./dom.js";
import { field, form } from "./forms.js";
import { linkTo, redirect } from "./router.js";
import * as session from "./session.js";

/** @type {import("./router.js").View} */
export const forgotView = {
  title: "Forgot password",
  access: "signed-out",
  open(place) {
    const body = el("div", { class: "card-body" });
    place.replaceChildren(el("div", { class: "door" },
      el("div", { class: "intro" }, el("h1", {}, "Forgot your password?"), el("p", {}, "A link to choose a new one is sent to your address.")),
      el("div", { class: "card" }, body)));
    replace(body, form(
      [field("E-mail", "email", { type: "email", autocomplete: "username", required: true })],
      [el("div", { class: "actions" }, el("button", { class: "button primary", type: "submit" }, "Send the link")), toSignIn()],
      async (data) => {
        await call("POST", "/v1/password-resets", { json: { email: data.get("email") } });
        replace(body, el("p", { role: "status" }, `If there is an account with the address ${data.get("email")}, a mail with a link is on its way. The link is valid for an hour.`),
          el("p", { class: "onwards small muted" }, "No mail? Look in the spam folder. The next link can be sent after a minute."), toSignIn());
      }));
    /** @type {HTMLElement} */ (body.querySelector("input")).focus();
  },
};

/** @type {import("./router.js").View} */
export const resetView = {
  title: "New password",
  access: "anyone",
  open(place, { token, home }) {
    const body = el("div", { class: "card-body" });
    const note = el("p", { class: "muted", hidden: true });
    place.replaceChildren(el("div", { class: "door" },
      el("div", { class: "intro" }, el("h1", {}, "Choose a new password"), note),
      el("div", { class: "card" }, body)));
    const tellWho = () => {
      note.hidden = !home?.me.value;
      note.textContent = home?.me.value ? `You are signed in as ${home.me.value.email}. The link may be for another account.` : "";
    };
    home?.me.addEventListener("change", tellWho);
    tellWho();
    if (token === null) {
      replace(body, el("p", {}, "Open the link in the mail again. It is not kept on this page."), again());
      return undefined;
    }
    replace(body, form(
      [field("New password", "password", { type: "password", autocomplete: "new-password", required: true, minlength: 8, maxlength: 128 }, "At least 8 characters.")],
      [el("div", { class: "actions" }, el("button", { class: "button primary", type: "submit" }, "Set the password")), again()],
      async (data) => {
        await post("/v1/password-resets/confirm", { token, password: data.get("password") });
        await finish(body);
      }));
    /** @type {HTMLElement} */ (body.querySelector("input")).focus();
    return () => home?.me.removeEventListener("change", tellWho);
  },
};

/**
 * The new password has ended all sessions of its account, which may be another one than that of this page.
 * @param {Element} body
 */
async function finish(body) {
  const isSignedIn = session.isSignedIn() && (await session.renew(session.accessToken()).catch(() => session.isSignedIn()));
  if (isSignedIn) {
    replace(body, el("p", { role: "status" }, "The password has been changed. It is that of another account: you are still signed in here."),
      el("p", { class: "onwards small" }, linkTo("#/", "Go to your dashboard")));
    return;
  }
  redirect("#/sign-in");
  toast("Your password has been changed. Sign in with the new one.", { stays: true });
}

const toSignIn = () => el("p", { class: "onwards small" }, linkTo("#/sign-in", "Go to the sign-in"));
const again = () => el("p", { class: "onwards small" }, linkTo("#/forgot", "Send me a new link"));
