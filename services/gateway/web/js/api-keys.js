// The section of the account page for API keys: how programs act for the user.
import { call, post } from "./api.js";
import { busy, confirmed, el, openDialog, toast } from "./dom.js";
import { currentPassword, passwordIn } from "./account-profile.js";
import { everything } from "./account-sessions.js";
import { offers } from "./features.js";
import { field, form } from "./forms.js";
import { onDate } from "./format.js";
import { listCard } from "./list-card.js";
import { withConfirmation } from "./providers.js";
import { showOnce } from "./secret.js";
import { claims } from "./session.js";
import { since } from "./times.js";

/** @import { Home } from "./home.js" */
/** @import { Me } from "./me.js" */

const PATH = "/v1/me/api-keys";
const SCOPES = { read: "Read: your dashboard, orders, notifications and reports", write: "Write: place and change orders, imports and webhooks", admin: "Operate: as far as your role allows" };
/** @type {[string, string][]} */
const EXPIRIES = [["30", "In 30 days"], ["90", "In 90 days"], ["365", "In a year"], ["", "Never"]];
const DAY_MS = 86_400_000;

/** @param {Home} home */
export function apiKeysSection({ me }) {
  const { card, reload } = listCard("API keys", () => everything(PATH), (/** @type {ApiKey[]} */ keys) => {
    if (!keys.length) return el("p", { class: "empty" }, "No API key yet. A program uses one instead of your password.");
    return keys.map((each) => row(each, reload));
  }, offers(`POST ${PATH}`) && el("div", { class: "inline-form" },
    el("button", { class: "button small", type: "button", "data-key": "new-key", onclick: () => create(me, () => reload()) }, "Create a key")));
  card.dataset.section = "api-keys";
  return card;
}

/**
 * When a key ends that is valid for so many days; null for one that does not expire.
 * @param {string} days
 * @param {number} now
 */
export const expiryAfter = (days, now = Date.now()) => (days === "" ? null : new Date(now + Number(days) * DAY_MS).toISOString());

/** @param {string | null} expiry */
const isOver = (expiry) => expiry !== null && /** @type {any} */ (new Date(expiry)) <= Date.now();

/**
 * @param {ApiKey} key
 * @param {() => Promise<void>} reload
 */
function row(key, reload) {
  const { id, name, prefix, scopes, expires_at: expiry, last_used_at: used } = key;
  return el("div", { class: "row", "data-api-key": id },
    el("span", { class: "what" }, name, " ", el("span", { class: "mono muted small" }, `${prefix}…`), el("br"),
      el("span", { class: "muted small" },
        scopes.join(", "), " · ", expiry ? `${isOver(expiry) ? "expired" : "expires"} ${onDate(expiry)}` : "does not expire", " · ",
        used ? ["last used ", since(used)] : "never used")),
    isOver(expiry) ? el("span", { class: "chip bad" }, "Expired") : el("span"),
    offers(`DELETE ${PATH}/{id}`) && el("span", { class: "buttons" },
      el("button", { class: "button small", type: "button", "data-key": `delete-${id}`, "aria-label": `Delete the key ${name}`, onclick: (event) => busy(event.currentTarget, () => remove(key, reload)) }, "Delete")));
}

/**
 * @param {ApiKey} key
 * @param {() => Promise<void>} reload
 */
async function remove({ id, name }, reload) {
  if (!(await confirmed(`Delete the key ${name}?`, "Programs that use it are refused at once. This cannot be undone.", "Delete the key"))) return;
  await call("DELETE", `${PATH}/${id}`);
  toast(`The key ${name} has been deleted.`);
  await reload();
}

/**
 * @param {Me} me
 * @param {() => Promise<void>} reload
 */
function create(me, reload) {
  const offered = Object.entries(SCOPES).filter(([scope]) => scope !== "admin" || ["admin", "support"].includes(claims().role));
  openDialog("Create an API key", (close) => form(
    [
      field("Name", "name", { required: true, maxlength: 100, placeholder: "nightly report" }, "To recognise it by."),
      el("fieldset", { class: "checks" }, el("legend", { class: "label" }, "What it may do"),
        offered.map(([scope, text]) => el("label", {}, el("input", { type: "checkbox", name: "scopes", value: scope, checked: scope === "read" }), " ", text))),
      field("Expires", "expires", { options: EXPIRIES }),
      currentPassword(me),
    ],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Cancel"),
      el("button", { class: "button primary", type: "submit" }, "Create")),
    async (data) => {
      const key = { name: data.get("name"), scopes: data.getAll("scopes"), expires_at: expiryAfter(/** @type {string} */ (data.get("expires"))), ...passwordIn(data) };
      /** @type {any} */
      let made;
      if (!(await withConfirmation(async () => { made = await post(PATH, key); }))) return;
      close();
      await Promise.all([reload(), showOnce(`The key ${made.name}`, "Send it as “Authorization: Bearer …”, and keep it like a password.", made.key)]);
    }));
}
