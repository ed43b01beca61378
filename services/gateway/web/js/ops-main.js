// The entry point of the operators' page.
import { get, Problem } from "./api.js";
import { door } from "./door.js";
import { el } from "./dom.js";
import { Operations } from "./ops.js";
import { accountMenu } from "./profile.js";
import * as session from "./session.js";
import { setUpTheme } from "./theme.js";
import { isWall, Wall } from "./wall.js";

const content = /** @type {HTMLElement} */ (document.getElementById("content"));
const account = /** @type {HTMLElement} */ (document.getElementById("account"));
/** @type {Operations | Wall | null} */
let operations = null;
/** @type {string | null} */
let message = null;
let shows = 0;

async function show() {
  const number = ++shows;
  operations?.close();
  operations = null;
  account.hidden = !session.isSignedIn();
  account.replaceChildren();
  if (!session.isSignedIn()) {
    content.replaceChildren(door(message));
    /** @type {HTMLElement} */ (content.querySelector("input")).focus();
    message = null;
    return;
  }
  account.append(accountMenu(null));
  content.focus({ preventScroll: true });
  const isOperator = await mayOperate();
  if (number !== shows) return;
  if (isOperator) operations = isWall() ? new Wall(content) : new Operations(content, session.claims().role === "admin");
  else content.replaceChildren(notForYou());
}

/** The roles of another identity provider are known only to the gateway. */
async function mayOperate() {
  if (session.HAS_ACCOUNTS) return ["admin", "support"].includes(session.claims().role);
  try {
    await get("/v1/admin/status");
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
    return problem.status !== 403;
  }
  return true;
}

const notForYou = () => el("div", { class: "door" }, el("div", { class: "intro" },
  el("h1", {}, "For operators only"),
  el("p", {}, "This account may not see how the system is doing. ", el("a", { href: "/" }, "Go to your dashboard"), ".")));

session.changes.addEventListener("signed-in", show);
session.changes.addEventListener("signed-out", (/** @type {Told} */ { detail }) => {
  message = detail;
  show();
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
show();
