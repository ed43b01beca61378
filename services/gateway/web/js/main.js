// The entry point of the page: continues the existing session, or shows the sign-in form.
import { door } from "./door.js";
import { Home } from "./home.js";
import { tellReturned } from "./providers.js";
import * as session from "./session.js";
import { setUpTheme } from "./theme.js";

const content = document.getElementById("content");
let home = null;

function show() {
  home?.close();
  home = null;
  if (session.isSignedIn()) {
    home = new Home(content);
    content.focus({ preventScroll: true });
  } else {
    content.replaceChildren(door(message));
    content.querySelector("input").focus();
    message = null;
  }
}

let message = null;
session.changes.addEventListener("signed-in", show);
session.changes.addEventListener("signed-out", ({ detail }) => {
  message = detail;
  show();
});

setUpTheme(document.getElementById("theme"));
try {
  await session.resume();
} catch {
  message = "The server cannot be reached right now. You can try to sign in.";
}
show();
tellReturned();
