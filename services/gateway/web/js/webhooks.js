// Webhooks: their URLs, events, secrets and deliveries.
import { call, get } from "./api.js";
import { busy, complain, confirmed, el, openDialog, replace, toast } from "./dom.js";
import { offers } from "./features.js";
import { field, form } from "./forms.js";
import { onDate, plural } from "./format.js";
import { listCard } from "./list-card.js";
import { showOnce } from "./secret.js";
import { since } from "./times.js";

const EVENTS = ["order.created", "order.paid", "order.shipped", "order.cancelled", "import.completed", "user.updated"];
const LOOK = { pending: "info", delivered: "good", failed: "bad", cancelled: "" };
/** @type {Record<string, string>} */
const OFF_BECAUSE = {
  owner: "You have switched it off.",
  failing: "It was switched off because its calls failed for too long.",
  gone: "It was switched off because the receiver answered that it no longer exists (410).",
  revoked: "It was switched off for your safety, when the password was reset or the address was confirmed.",
};
const SECRET_TEXT = "With it your server verifies that calls are ours.";
const PATCH = "PATCH /v1/webhooks/{id}";

export function webhooksSection() {
  const { card, reload } = listCard("Webhooks", () => get("/v1/webhooks"), (/** @type {{items: Webhook[]}} */ { items }) => {
    if (!items.length) return el("p", { class: "empty" }, "No webhook yet. One tells your own server of your orders, signed.");
    return items.map((each) => row(each, reload));
  }, offers("POST /v1/webhooks") && el("div", { class: "inline-form" },
    el("button", { class: "button small", type: "button", onclick: () => edit(null, reload) }, "Add a webhook")));
  return card;
}

/**
 * @param {Webhook} webhook
 * @param {() => Promise<void>} reload
 */
function row(webhook, reload) {
  const button = (/** @type {string} */ key, /** @type {string} */ words, /** @type {string} */ label, /** @type {string} */ operation, /** @type {() => unknown} */ work) => (!operation || offers(operation)) && el("button", {
    class: "button small", type: "button", "data-key": `${key}-${webhook.id}`, "aria-label": `${label} ${webhook.url}`,
    onclick: (event) => busy(event.currentTarget, work),
  }, words);
  return el("div", { class: "row", "data-webhook": webhook.id },
    el("span", { class: "what" }, el("span", { class: "mono" }, webhook.url), el("br"),
      webhook.description && [el("span", { class: "small" }, webhook.description), el("br")],
      el("span", { class: "muted small" }, webhook.events.join(", ")),
      health(webhook)),
    state(webhook),
    el("span", { class: "buttons" },
      button("calls", "Calls", "Calls to", "GET /v1/webhooks/{id}/deliveries", () => deliveries(webhook)),
      webhook.enabled && button("test", "Test", "Test", "POST /v1/webhooks/{id}/test", () => test(webhook)),
      button("edit", "Edit", "Edit", PATCH, () => edit(webhook, reload)),
      button("secret", "New secret", "New secret for", "POST /v1/webhooks/{id}/secret", () => newSecret(webhook)),
      webhook.enabled
        ? button("switch", "Switch off", "Switch off", PATCH, () => enable(webhook, false, reload))
        : button("switch", "Switch on", "Switch on", PATCH, () => enable(webhook, true, reload)),
      button("remove", "Remove", "Remove", "DELETE /v1/webhooks/{id}", () => remove(webhook, reload))));
}

/**
 * Why a webhook is off, or since when its calls fail.
 * @param {Webhook} webhook
 */
function health({ enabled, disabled_reason: reason, disabled_at: at, failing_since: failing }) {
  if (!enabled) return [el("br"), el("span", { class: "small" }, OFF_BECAUSE[/** @type {string} */ (reason)] ?? "It is switched off.", at && ` (${onDate(at)})`)];
  return failing ? [el("br"), el("span", { class: "small" }, "Its calls have failed since ", since(failing), ".")] : null;
}

/** @param {Webhook} webhook */
function state({ enabled, failing_since: failing }) {
  if (enabled === false) return el("span", { class: "chip bad" }, "Off");
  return failing ? el("span", { class: "chip warn" }, "Failing") : el("span", { class: "chip good" }, "On");
}

/**
 * The form of a new webhook, or of an existing one.
 * @param {Webhook | null} webhook
 * @param {() => Promise<void>} reload
 */
function edit(webhook, reload) {
  const chosen = webhook ? webhook.events : EVENTS.filter((name) => name.startsWith("order."));
  openDialog(webhook ? "Edit the webhook" : "Add a webhook", (close) => form(
    [
      field("Address", "url", { type: "url", required: true, placeholder: "https://example.com/hooks", value: webhook?.url }, "On the public internet; it is called with POST."),
      field("Description", "description", { maxlength: 200, value: webhook?.description }, "For yourself; it may stay empty."),
      el("fieldset", { class: "checks" }, el("legend", { class: "label" }, "When"),
        EVENTS.map((name) => el("label", {}, el("input", { type: "checkbox", name: "events", value: name, checked: chosen.includes(name) }), " ", name))),
    ],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Cancel"),
      el("button", { class: "button primary", type: "submit" }, webhook ? "Save" : "Add")),
    async (data) => {
      const json = { url: data.get("url"), events: data.getAll("events"), description: /** @type {string} */ (data.get("description")).trim() || null };
      const made = await (await (webhook ? call("PATCH", `/v1/webhooks/${webhook.id}`, { json }) : call("POST", "/v1/webhooks", { json }))).json();
      close();
      reload();
      if (made.secret) await showOnce("Secret of this webhook", SECRET_TEXT, made.secret);
    }));
}

/**
 * @param {Webhook} webhook
 * @param {boolean} enabled
 * @param {() => Promise<void>} reload
 */
async function enable(webhook, enabled, reload) {
  await call("PATCH", `/v1/webhooks/${webhook.id}`, { json: { enabled } });
  const undo = el("button", { class: "link", type: "button", onclick: (event) => busy(event.currentTarget, () => enable(webhook, !enabled, reload)) }, "Undo");
  toast(enabled ? "The webhook is on." : "The webhook is off.", { action: undo });
  await reload();
}

/** @param {Webhook} webhook */
async function test(webhook) {
  await call("POST", `/v1/webhooks/${webhook.id}/test`);
  deliveries(webhook);
}

/** @param {Webhook} webhook */
async function newSecret(webhook) {
  const sure = await confirmed("Create a new secret?", "For a day, calls are signed with both secrets. Until then your server must know the new one.", "Create it", "Keep the secret");
  if (!sure) return;
  const { secret } = await (await call("POST", `/v1/webhooks/${webhook.id}/secret`)).json();
  await showOnce("New secret of this webhook", SECRET_TEXT, secret);
}

/**
 * @param {Webhook} webhook
 * @param {() => Promise<void>} reload
 */
async function remove(webhook, reload) {
  if (!(await confirmed("Remove this webhook?", `${webhook.url} is not called any more.`, "Remove"))) return;
  try {
    await call("DELETE", `/v1/webhooks/${webhook.id}`);
  } catch (problem) {
    complain(problem);
  }
  await reload();
}

const AGAIN_MS = 1500;

/**
 * The latest deliveries; they are read again as long as one is pending.
 * @param {Webhook} webhook
 */
function deliveries(webhook) {
  let timer = 0;
  const body = el("div", { "aria-live": "polite" }, el("p", { class: "muted" }, "Loading…"));
  const load = async () => {
    clearTimeout(timer);
    try {
      /** @type {{items: Delivery[]}} */
      const { items } = await get(`/v1/webhooks/${webhook.id}/deliveries?limit=20`);
      if (!body.isConnected) return;
      replace(body, items.length ? items.map((each) => delivery(webhook, each, load)) : el("p", { class: "empty" }, "Nothing has been sent yet."));
      if (items.some((each) => each.state === "pending")) timer = setTimeout(load, AGAIN_MS);
    } catch (problem) {
      replace(body, el("p", { class: "form-error" }, /** @type {Error} */ (problem).message));
    }
  };
  openDialog(`Calls to ${new URL(webhook.url).host}`, () => body, { wide: true }).addEventListener("close", () => clearTimeout(timer));
  load();
}

/**
 * @param {Webhook} webhook
 * @param {Delivery} each
 * @param {() => Promise<void>} load
 */
function delivery(webhook, each, load) {
  const outcome = each.response_status ? `answered ${each.response_status}` : each.error;
  return el("div", { class: "row" },
    el("span", { class: "what" }, each.event_type, el("br"),
      el("span", { class: "muted small" }, [plural(each.attempts, "attempt"), outcome, ""].filter((part) => part !== null && part !== undefined).join(" · "), since(each.updated_at))),
    el("span", { class: `chip ${LOOK[each.state] ?? ""}` }, each.state),
    each.state !== "pending" && el("span", { class: "buttons" }, el("button", { class: "button small", type: "button", "data-key": `again-${each.id}`, onclick: (event) => busy(event.currentTarget, () => replay(webhook, each, load)) }, "Send again")));
}

/**
 * @param {Webhook} webhook
 * @param {Delivery} each
 * @param {() => Promise<void>} load
 */
async function replay(webhook, each, load) {
  try {
    await call("POST", `/v1/webhooks/${webhook.id}/deliveries/${each.id}/replay`);
    toast("It is being sent again.");
  } catch (problem) {
    complain(problem);
  }
  await load();
}
