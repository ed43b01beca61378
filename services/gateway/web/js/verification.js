// The confirmation of addresses: the view behind the link of a mail, and the banner until then.
import { call, post } from "./api.js";
import { busy, el, replace, toast } from "./dom.js";
import { offers } from "./features.js";
import { form } from "./forms.js";
import { onDate } from "./format.js";
import { linkTo, redirect } from "./router.js";

/** @import { Home } from "./home.js" */
/** @import { Me, Profile } from "./me.js" */

const WEEK_MS = 7 * 86_400_000;

/**
 * Opening the link changes nothing, also in a program that runs scripts, as some scanners of mails do: a person presses
 * the button.
 * @type {import("./router.js").View}
 */
export const verifyView = {
  title: "Confirm your address",
  access: "anyone",
  open(place, { token, home }) {
    const body = el("div", { class: "card-body" });
    place.replaceChildren(el("div", { class: "door" },
      el("div", { class: "intro" }, el("h1", {}, "Confirm your address")),
      el("div", { class: "card" }, body)));
    if (token === null) replace(body, el("p", {}, "Open the link in the mail again. It is not kept on this page."), onwards(home));
    else replace(body, question(token, home, (text) => replace(body, el("p", { role: "status" }, text), onwards(home))));
  },
};

/**
 * @param {string} token
 * @param {Home | null} home
 * @param {(text: string) => void} tell
 */
const question = (token, home, tell) => form(
  [el("p", {}, "Is this address yours? Confirm it, and mails of your account are sent to it.")],
  [el("div", { class: "actions" }, el("button", { class: "button primary", type: "submit" }, "Confirm this address")), onwards(home)],
  async () => {
    const before = home?.me.value ?? null;
    await post("/v1/email-verifications", { token });
    await home?.me.refresh();
    const after = /** @type {Profile} */ (home?.me.value ?? null);
    if (!home || !before) tell("The address has been confirmed.");
    else if (isChanged(before, after)) {
      toast(`${after.email} has been confirmed.`);
      redirect("#/");
    } else tell(`The address has been confirmed. It belongs to another account: you are signed in as ${before.email}.`);
  });

/**
 * Whether an account has a newly confirmed address.
 * @param {Profile} before
 * @param {Profile} after
 */
const isChanged = (before, after) => after.email_verified && (!before.email_verified || before.email !== after.email);

/** @param {Home | null} home */
const onwards = (home) => el("p", { class: "onwards small" }, home ? linkTo("#/", "Go to your dashboard") : linkTo("#/sign-in", "Go to the sign-in"));

/**
 * A notice for accounts whose address is not confirmed. Returns null if the gateway does not offer confirmations.
 * @param {Me} me
 */
export function unverifiedBanner(me) {
  if (!offers("GET /v1/me", "POST /v1/email-verifications/resend")) return null;
  const banner = el("section", { class: "banner", "aria-label": "Your address is not confirmed", hidden: true });
  me.addEventListener("change", () => {
    const account = /** @type {Profile} */ (me.value);
    banner.hidden = account.email_verified;
    replace(banner, !account.email_verified && [
      el("p", { class: "grow" }, "Confirm your address: open the link in the mail to ", el("strong", {}, account.pending_email ?? account.email), ". ",
        `Until then no other mails are sent to you, and without it the account is deleted on ${onDate(new Date(account.created_at).getTime() + WEEK_MS)}.`),
      resendButton(me),
    ]);
  });
  return banner;
}

/**
 * Sends the link to the address that is to be confirmed once more.
 * @param {Me} me
 */
export const resendButton = (me) => el("button", {
  class: "button small", type: "button", "data-key": "resend",
  onclick: (event) => busy(event.currentTarget, async () => {
    await call("POST", "/v1/email-verifications/resend");
    toast(`The link has been sent again to ${/** @type {Profile} */ (me.value).pending_email ?? /** @type {Profile} */ (me.value).email}.`);
  }),
}, "Send it again");
