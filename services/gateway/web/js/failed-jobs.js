// Jobs that are not done, by cause, with the administrators' actions.
import { get, post, Problem } from "./api.js";
import { busy, confirmed, el, replace, toast } from "./dom.js";
import { count, plural } from "./format.js";
import { openDiscard } from "./discard.js";
import { searchAddress } from "./job-addresses.js";
import { stackedCell, stackedRow, stackedTable } from "./job-parts.js";
import { poll } from "./polling.js";
import { since } from "./times.js";

/** @import { Child } from "./dom.js" */

const EVERY_MS = 4000;
const STATES = { dead: "Dead", retrying: "Retrying", discarded: "Discarded" };
const EMPTY = {
  dead: "No dead jobs. A job that cannot succeed is kept here, with its error, until somebody decides.",
  retrying: "No job waits for another attempt.",
  discarded: "Nothing has been discarded.",
};

/**
 * @param {boolean} isAdmin
 * @param {AbortSignal} ended
 */
export function failedJobs(isAdmin, ended) {
  /** @type {keyof typeof STATES} */
  let state = "dead";
  /** @type {FailedGroup[]} */
  let items = [];
  const tabs = el("div", { class: "segments", role: "group", "aria-label": "State" });
  const body = el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Failed jobs" });

  const show = () => {
    const sums = Object.fromEntries(Object.keys(STATES).map((key) => [key, items.filter((each) => each.state === key).reduce((all, each) => all + each.count, 0)]));
    replace(tabs, /** @type {[keyof typeof STATES, string][]} */ (Object.entries(STATES)).map(([key, title]) => el("button", {
      type: "button", "data-key": `state-${key}`, "aria-pressed": String(key === state), onclick: () => { state = key; show(); },
    }, sums[key] ? `${title} (${count(sums[key])})` : title)));
    const groups = items.filter((each) => each.state === state);
    replace(body, groups.length ? table(groups, isAdmin, ask) : el("p", { class: "empty" }, EMPTY[state]));
  };
  let last = "";
  show();
  replace(body, el("p", { class: "empty" }, "Asking…"));
  const ask = poll(async () => {
    try {
      const told = (await get("/v1/admin/jobs/groups", { signal: ended })).items;
      if (JSON.stringify(told) !== last) {
        last = JSON.stringify(told);
        items = told;
        show();
      }
    } catch (problem) {
      if (ended.aborted) return;
      if (!(problem instanceof Problem)) throw problem;
      if (!last) replace(body, el("p", { class: "empty" }, `The jobs cannot be listed: ${problem.message}`));
    }
  }, EVERY_MS, ended);
  return el("section", { class: "card whole", "aria-labelledby": "failed-jobs" },
    el("div", { class: "card-head" }, el("h2", { id: "failed-jobs" }, "Failed jobs"), el("span", { class: "grow" }), tabs), body);
}

/** @type {[Child, string?][]} */
const TITLES = [["Job"], ["Cause"], ["Jobs", "right"], ["Last"], [el("span", { class: "hidden-text" }, "Actions")]];

/**
 * @param {FailedGroup[]} groups
 * @param {boolean} isAdmin
 * @param {() => void} ask
 */
const table = (groups, isAdmin, ask) => stackedTable(TITLES, groups.map((group) => row(group, isAdmin, ask)));

/**
 * @param {FailedGroup} group
 * @param {boolean} isAdmin
 * @param {() => void} ask
 */
function row(group, isAdmin, ask) {
  const { job, state, error_group: cause } = group;
  const name = cause ?? "unknown";
  const key = `${state}-${job}-${name}`;
  return stackedRow({ "data-group": name },
    stackedCell(null, job),
    stackedCell(null, el("a", { class: "cause", href: searchAddress({ job, state, error_group: cause }), "data-key": `show-${key}` }, name),
      group.example_error && el("span", { class: "error-text muted", title: group.example_error }, group.example_error)),
    stackedCell("right", count(group.count), el("span", { class: "narrow" }, group.count === 1 ? " job" : " jobs")),
    stackedCell("muted", since(group.last_seen)),
    stackedCell("right do", isAdmin && state !== "retrying" && el("span", { class: "buttons" },
      el("button", { class: "button small", type: "button", "data-key": `replay-${key}`, "aria-label": `Replay ${job}: ${name}`, onclick: (event) => busy(event.currentTarget, () => replay(group, ask)) }, "Replay"),
      state === "dead" && el("button", { class: "button small", type: "button", "data-key": `discard-${key}`, "aria-label": `Discard ${job}: ${name}`, onclick: () => openDiscard(selection(group), group.count, ask) }, "Discard"))));
}

/**
 * @param {FailedGroup} group
 * @returns {JobSelection} The selection of a replay or discard request.
 */
const selection = ({ job, error_group: cause, state }) => ({ job, ...(cause === null ? {} : { error_group: cause }), state, limit: 10000 });

/**
 * @param {FailedGroup} group
 * @param {() => void} ask
 */
async function replay(group, ask) {
  const text = "Each is tried again, with all its attempts before it. What has taken effect already does not take effect twice.";
  if (!(await confirmed(`Replay ${plural(group.count, "job")}?`, text, "Replay", "Not now"))) return;
  const { replayed } = await post("/v1/admin/jobs/replay", selection(group)).finally(ask);
  toast(`${plural(replayed, "job")} will be tried again.`);
}
