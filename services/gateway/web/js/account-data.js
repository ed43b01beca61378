// The sections of the account page for the export of all data, and for the deletion of the account.
import { call, Problem } from "./api.js";
import { currentPassword, passwordIn, section } from "./account-profile.js";
import { el, openDialog, toast } from "./dom.js";
import { form } from "./forms.js";
import { save } from "./list-card.js";
import { withConfirmation } from "./providers.js";
import * as session from "./session.js";

/** @import { Home } from "./home.js" */
/** @import { Me } from "./me.js" */

const BROKEN_OFF = "The download was cut off. Try again.";

/** @param {Home} home */
export function exportSection({ me }) {
  const node = form(
    [el("p", { class: "muted" }, "Everything that is stored about you, as one JSON file."), currentPassword(me)],
    el("div", { class: "actions" }, el("button", { class: "button", type: "submit" }, "Download my data")),
    async (data) => {
      if (!(await withConfirmation(() => download(passwordIn(data))))) return;
      node.reset();
      toast("Your data has been downloaded.");
    });
  return section("export", "Your data", node);
}

/** @param {object} confirmation */
async function download(confirmation) {
  const response = await call("POST", "/v1/me/export", { json: confirmation });
  try {
    await save(response, `dashboard-data-${new Date().toISOString().slice(0, 10)}.json`);
  } catch (failure) {
    if (!(failure instanceof TypeError)) throw failure;
    const problem = new Problem(0);
    problem.message = BROKEN_OFF;
    throw problem;
  }
}

/** @param {Home} home */
export const deletionSection = ({ me }) => section("deletion", "Delete the account",
  el("p", { class: "muted" }, "Your account is deleted with everything in it, for good."),
  el("div", { class: "actions" }, el("button", { class: "button danger", type: "button", "data-key": "delete-account", onclick: () => openDeletion(me) }, "Delete my account…")));

/** @param {Me} me */
function openDeletion(me) {
  openDialog("Delete your account?", (close) => form(
    [el("p", { class: "muted" }, "Your profile, sessions, API keys, notifications, reports and webhooks are deleted. This cannot be undone."), currentPassword(me)],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Keep my account"),
      el("button", { class: "button danger", type: "submit" }, "Delete my account")),
    async (data) => {
      if (!(await withConfirmation(() => call("DELETE", "/v1/me", { json: passwordIn(data) })))) return;
      close();
      await session.signOut();
      toast("Your account has been deleted.", { stays: true });
    }));
}
