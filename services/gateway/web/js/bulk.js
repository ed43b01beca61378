// Cancels, retries and discards all jobs of a search: counts them, asks, and changes them in batches.
import { post } from "./api.js";
import { busy, confirmed, el, toast } from "./dom.js";
import { openDiscard } from "./discard.js";
import { offers } from "./features.js";
import { plural } from "./format.js";

/** @typedef {{name: string, title: string, states: string[], text?: string, told?: (answer: {retried: number, cancelled: number}) => string}} Action */

const MOST = 10_000;
const FILTERS = ["q", "job", "user_id", "event_type", "from", "to", "error_group"];
/** @type {Action[]} */
const ACTIONS = [
  {
    name: "retry", title: "Retry all", states: ["scheduled", "waiting", "retrying", "dead", "discarded", "cancelled"],
    text: "The next attempt at each starts now. What has taken effect already does not take effect twice.",
    told: (/** @type {{retried: number}} */ { retried }) => `${plural(retried, "job")} will be tried again now.`,
  },
  {
    name: "cancel", title: "Cancel all", states: ["scheduled", "waiting", "retrying"],
    text: "They are not tried again. They are kept for a while, and can be retried.",
    told: (/** @type {{cancelled: number}} */ { cancelled }) => `${plural(cancelled, "job")} cancelled.`,
  },
  { name: "discard", title: "Discard all", states: ["dead"] },
].filter(({ name }) => offers(`POST /v1/admin/jobs/${name}`));

/**
 * The actions for the result of a search; none without a filter besides the state. `changed` is called afterwards.
 * @param {Record<string, string>} filters
 * @param {() => void} changed
 */
export function bulkActions(filters, changed) {
  const chosen = Object.fromEntries(FILTERS.filter((name) => filters[name]).map((name) => [name, filters[name]]));
  const possible = ACTIONS.filter(({ states }) => !filters.state || states.includes(filters.state));
  if (!Object.keys(chosen).length || !possible.length) return null;
  return el("span", { class: "buttons bulk" }, possible.map((action) => el("button", {
    class: "button small", type: "button", "data-key": `${action.name}-all`,
    onclick: (event) => busy(event.currentTarget, () => change(action, selectionOf(action, filters.state, chosen), changed)),
  }, `${action.title}…`)));
}

/**
 * A discard is always of dead jobs.
 * @param {Action} action
 * @param {string} state
 * @param {Record<string, string>} chosen
 * @returns {JobSelection}
 */
const selectionOf = ({ name }, state, chosen) => ({ ...chosen, ...(state && name !== "discard" ? { state } : {}), limit: MOST });

/**
 * @param {Action} action
 * @param {JobSelection} selection
 * @param {() => void} changed
 */
async function change(action, selection, changed) {
  const path = `/v1/admin/jobs/${action.name}`;
  const counted = await post(path, { ...selection, dry_run: true, ...(action.name === "discard" ? { reason: "count" } : {}) });
  const number = Math.min(counted.matched, MOST);
  if (!number) {
    toast("None of these jobs can be changed this way.");
    return;
  }
  const meant = { ...selection, as_of: counted.as_of };
  if (action.name === "discard") {
    openDiscard(meant, number, changed);
    return;
  }
  const rest = counted.matched > MOST ? ` These are ${plural(MOST, "job")} of ${plural(counted.matched, "job")}: repeat this for the others.` : "";
  if (!(await confirmed(`${action.title.replace(" all", "")} ${plural(number, "job")}?`, /** @type {string} */ (action.text) + rest, `${action.title.replace(" all", "")} ${plural(number, "job")}`, "Not now"))) return;
  toast(/** @type {Required<Action>} */ (action).told(await post(path, meant)));
  changed();
}
