// The entry point of the page: continues the existing session, and shows the view of the address.
import { accountView } from "./account.js";
import { door } from "./door.js";
import { offers } from "./features.js";
import { Home } from "./home.js";
import { importView } from "./import-page.js";
import { orderView } from "./order-page.js";
import { HAS_ACCOUNT_PAGE } from "./profile.js";
import { tellReturned } from "./providers.js";
import { forgotView, resetView } from "./recovery.js";
import { rename, route, Router } from "./router.js";
import * as session from "./session.js";
import { setUpTheme } from "./theme.js";
import { verifyView } from "./verification.js";

/** @import { View } from "./router.js" */

const content = /** @type {HTMLElement} */ (document.getElementById("content"));
/** @type {Home | null} */
let home = null;
/** @type {string | null} */
let message = null;

/**
 * @param {string} title
 * @param {string} first
 * @returns {View}
 */
const doorView = (title, first) => ({
  title,
  access: "signed-out",
  open: (place) => {
    place.replaceChildren(door(message, { first, changed: rename }));
    message = null;
    /** @type {HTMLElement} */ (place.querySelector("input")).focus();
  },
});

route("/", { title: null, access: "signed-in", open: (place, visit) => visit.home.open(place) });
route("/sign-in", doorView("Sign in", "sign-in"));
if (offers("POST /v1/users")) route("/register", doorView("Create account", "register"));
if (offers("POST /v1/password-resets")) route("/forgot", forgotView);
if (offers("POST /v1/password-resets/confirm")) route("/reset", resetView);
if (offers("POST /v1/email-verifications")) route("/verify", verifyView);
if (HAS_ACCOUNT_PAGE) route("/account", accountView);
if (offers("GET /v1/orders/{id}")) route("/orders/{id}", orderView);
if (offers("GET /v1/imports/{id}")) route("/imports/{id}", importView);

const router = new Router(content, () => home);

function begin() {
  home?.close();
  home = session.isSignedIn() ? new Home() : null;
}

session.changes.addEventListener("signed-in", () => {
  begin();
  router.show();
});
session.changes.addEventListener("signed-out", (/** @type {Told} */ { detail }) => {
  message = detail;
  if (detail === null) history.replaceState(null, "", location.pathname);
  begin();
  router.show();
});

// The skip link must not replace the view in the address.
/** @type {Element} */ (document.querySelector(".skip")).addEventListener("click", (event) => {
  event.preventDefault();
  content.focus();
});
setUpTheme(/** @type {HTMLElement} */ (document.getElementById("theme")));
try {
  await session.resume();
} catch {
  message = "The server cannot be reached right now. You can try to sign in.";
}
begin();
router.start();
tellReturned();
