// The section of the account page for mails: which kinds the user receives.
import { call, get } from "./api.js";
import { complain, el, toast } from "./dom.js";
import { offers } from "./features.js";
import { label } from "./json-values.js";
import { listCard } from "./list-card.js";

const PATH = "/v1/me/notification-settings";
/**
 * Other applications add kinds of their own, which are named after their keys.
 * @type {Record<string, string>}
 */
const KINDS = { order_confirmation: "Order confirmations", order_status: "News of your orders", other: "Other mails" };

export function notificationSettingsSection() {
  const { card } = listCard("Mails", () => get(PATH), switches,
    el("p", { class: "muted small card-note" }, "Mails about the security of your account are always sent."));
  card.dataset.section = "notification-settings";
  return card;
}

/** @param {MailSettings} settings */
function switches({ kinds, weekly_digest: digest }) {
  return [
    ...Object.entries(kinds).map(([kind, { mail }]) => toggle(KINDS[kind] ?? label(kind), kind, mail, (wanted) => ({ kinds: { [kind]: { mail: wanted } } }))),
    digest !== null && toggle("Weekly digest", "weekly_digest", digest, (wanted) => ({ weekly_digest: wanted })),
  ].filter(Boolean);
}

/**
 * @param {string} title
 * @param {string} name
 * @param {boolean} isOn
 * @param {(wanted: boolean) => Partial<MailSettings>} changeTo
 */
function toggle(title, name, isOn, changeTo) {
  const input = el("input", { type: "checkbox", role: "switch", name, checked: isOn, disabled: !offers(`PUT ${PATH}`), "data-key": `mail-${name}` });
  input.addEventListener("change", async () => {
    if (input.ariaDisabled === "true") {
      input.checked = !input.checked;
      return;
    }
    input.ariaDisabled = "true";
    const wanted = input.checked;
    try {
      await call("PUT", PATH, { json: changeTo(wanted) });
      toast(wanted ? `${title}: sent by mail from now on.` : `${title}: not sent any more.`);
    } catch (problem) {
      input.checked = !wanted;
      complain(problem);
    } finally {
      input.ariaDisabled = null;
    }
  });
  return el("label", { class: "row switch" }, el("span", { class: "what" }, title), input);
}
