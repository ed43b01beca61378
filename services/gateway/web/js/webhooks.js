// Webhooks: their URLs, events and deliveries.
import { call, get } from "./api.js";
import { busy, complain, confirmed, el, openDialog, replace, toast } from "./dom.js";
import { field, form } from "./forms.js";
import { plural } from "./format.js";
import { listCard } from "./list-card.js";
import { since } from "./times.js";

const EVENTS = ["order.created", "order.paid", "order.shipped", "order.cancelled", "import.completed", "user.updated"];
const LOOK = { pending: "info", delivered: "good", failed: "bad", cancelled: "" };

export function webhooksSection() {
  const { card, reload } = listCard("Webhooks", () => get("/v1/webhooks"), ({ items }) => {
    if (!items.length) return el("p", { class: "empty" }, "No webhook yet. One tells your own server of your orders, signed.");
    return items.map((each) => row(each, reload));
  }, el("div", { class: "inline-form" },
    el("button", { class: "button small", type: "button", onclick: () => create(() => reload()) }, "Add a webhook")));
  return card;
}

function row(webhook, reload) {
  return el("div", { class: "row" },
    el("span", { class: "what" }, el("span", { class: "mono" }, webhook.url), el("br"),
      el("span", { class: "muted small" }, webhook.events.join(", "))),
    state(webhook),
    el("span", { class: "buttons" },
      el("button", { class: "button small", type: "button", "data-key": `calls-${webhook.id}`, "aria-label": `Calls to ${webhook.url}`, onclick: () => deliveries(webhook) }, "Calls"),
      el("button", { class: "button small", type: "button", "data-key": `remove-${webhook.id}`, "aria-label": `Remove ${webhook.url}`, onclick: (event) => busy(event.currentTarget, () => remove(webhook, reload)) }, "Remove")));
}

function state({ enabled, failing_since: failing }) {
  if (enabled === false) return el("span", { class: "chip bad" }, "Off");
  return failing ? el("span", { class: "chip warn" }, "Failing") : el("span", { class: "chip good" }, "On");
}

function create(reload) {
  openDialog("Add a webhook", (close) => form(
    [
      field("Address", "url", { type: "url", required: true, placeholder: "https://example.com/hooks" }, "On the public internet; it is called with POST."),
      el("fieldset", { class: "checks" }, el("legend", { class: "label" }, "When"),
        EVENTS.map((name) => el("label", {}, el("input", { type: "checkbox", name: "events", value: name, checked: name.startsWith("order.") }), " ", name))),
    ],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Cancel"),
      el("button", { class: "button primary", type: "submit" }, "Add")),
    async (data) => {
      const made = await (await call("POST", "/v1/webhooks", { json: { url: data.get("url"), events: data.getAll("events") } })).json();
      close();
      reload();
      if (made.secret) showSecret(made.secret);
    }));
}

function showSecret(secret) {
  openDialog("Secret of this webhook", (close) => [
    el("p", {}, "With it your server verifies that calls are ours. It is shown this once."),
    el("p", { class: "mono secret" }, secret),
    el("div", { class: "actions" }, el("button", { class: "button primary", type: "button", onclick: close }, "I have kept it")),
  ]);
}

async function remove(webhook, reload) {
  if (!(await confirmed("Remove this webhook?", `${webhook.url} is not called any more.`, "Remove"))) return;
  try {
    await call("DELETE", `/v1/webhooks/${webhook.id}`);
  } catch (problem) {
    complain(problem);
  }
  await reload();
}

function deliveries(webhook) {
  openDialog(`Calls to ${new URL(webhook.url).host}`, () => {
    const body = el("div", { "aria-live": "polite" }, el("p", { class: "muted" }, "Loading…"));
    const load = async () => {
      try {
        const { items } = await get(`/v1/webhooks/${webhook.id}/deliveries?limit=20`);
        replace(body, items.length ? items.map((each) => delivery(webhook, each, load)) : el("p", { class: "empty" }, "Nothing has been sent yet."));
      } catch (problem) {
        replace(body, el("p", { class: "form-error" }, problem.message));
      }
    };
    load();
    return body;
  }, { wide: true });
}

function delivery(webhook, each, load) {
  const outcome = each.response_status ? `answered ${each.response_status}` : each.error;
  return el("div", { class: "row" },
    el("span", { class: "what" }, each.event_type, el("br"),
      el("span", { class: "muted small" }, [plural(each.attempts, "attempt"), outcome, ""].filter((part) => part !== null && part !== undefined).join(" · "), since(each.updated_at))),
    el("span", { class: `chip ${LOOK[each.state] ?? ""}` }, each.state),
    each.state !== "pending" && el("span", { class: "buttons" }, el("button", { class: "button small", type: "button", "data-key": `again-${each.id}`, onclick: (event) => busy(event.currentTarget, () => replay(webhook, each, load)) }, "Send again")));
}

async function replay(webhook, each, load) {
  try {
    await call("POST", `/v1/webhooks/${webhook.id}/deliveries/${each.id}/replay`);
    toast("It is being sent again.");
  } catch (problem) {
    complain(problem);
  }
  await load();
}
