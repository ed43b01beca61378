// How to get in if the accounts are those of another identity provider.
import { Problem } from "./api.js";
import { el } from "./dom.js";
import { field, form } from "./forms.js";
import { enter, refusal } from "./token-session.js";

/**
 * The form for a token; `message` says why a user was signed out.
 * @param {string | null} message
 */
export function tokenDoor(message) {
  const told = message ?? refusal();
  return el("div", { class: "door" },
    el("div", { class: "intro" },
      el("h1", {}, "Sign in with your identity provider"),
      el("p", {}, "This page has no accounts of its own. Open it from the application that signs you in, or paste the access token that you have from there.")),
    told && el("p", { class: "form-error", role: "alert" }, told),
    el("div", { class: "card" }, el("div", { class: "card-body" }, tokenForm(),
      el("details", { class: "small" }, el("summary", {}, "For applications that link here"),
        el("p", {}, "Send people to this address after they have signed in. The token is removed from the address at once:"),
        el("p", {}, el("code", {}, `${location.origin}${location.pathname}#access_token=TOKEN`))))));
}

const tokenForm = () => form(
  [field("Access token", "token", { autocomplete: "off", autocapitalize: "none", spellcheck: "false", required: true },
    "It stays in this tab until you sign out or close the tab.")],
  el("button", { class: "button primary", type: "submit" }, "Continue"),
  (data) => {
    const wrong = enter(String(data.get("token")));
    if (wrong) throw Problem.ofField("token", wrong);
  });
