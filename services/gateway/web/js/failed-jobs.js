// Jobs that are not done, by cause, with their messages and the administrators' actions.
import { get, post } from "./api.js";
import { busy, complain, confirmed, el, openDialog, replace, toast } from "./dom.js";
import { field, form } from "./forms.js";
import { count, plural, whenExactly } from "./format.js";
import { claims } from "./session.js";
import { since } from "./times.js";

const EVERY_MS = 4000;
const STATES = { dead: "Dead", retrying: "Retrying", discarded: "Discarded" };
const EMPTY = {
  dead: "No dead jobs. A job that cannot succeed is kept here, with its error, until somebody decides.",
  retrying: "No job waits for another attempt.",
  discarded: "Nothing has been discarded.",
};

export function failedJobs(isAdmin, ended) {
  let state = "dead";
  let items = [];
  const tabs = el("div", { class: "segments", role: "group", "aria-label": "State" });
  const body = el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Failed jobs" });

  const show = () => {
    const sums = Object.fromEntries(Object.keys(STATES).map((key) => [key, items.filter((each) => each.state === key).reduce((all, each) => all + each.count, 0)]));
    replace(tabs, Object.entries(STATES).map(([key, title]) => el("button", {
      type: "button", "data-key": `state-${key}`, "aria-pressed": String(key === state), onclick: () => { state = key; show(); },
    }, sums[key] ? `${title} (${count(sums[key])})` : title)));
    const groups = items.filter((each) => each.state === state);
    replace(body, groups.length ? table(groups, isAdmin, ask) : el("p", { class: "empty" }, EMPTY[state]));
  };
  let last = "";
  let timer = 0;
  const ask = async () => {
    clearTimeout(timer);
    try {
      const told = (await get("/v1/admin/jobs/groups", { signal: ended })).items;
      if (JSON.stringify(told) !== last) {
        last = JSON.stringify(told);
        items = told;
        show();
      }
    } catch (problem) {
      if (ended.aborted) return;
      if (!last) replace(body, el("p", { class: "empty" }, `The jobs cannot be listed: ${problem.message}`));
    }
    if (!document.hidden && !ended.aborted) timer = setTimeout(ask, EVERY_MS);
  };
  document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); }, { signal: ended });
  show();
  replace(body, el("p", { class: "empty" }, "Asking…"));
  ask();
  return el("section", { class: "card whole", "aria-labelledby": "failed-jobs" },
    el("div", { class: "card-head" }, el("h2", { id: "failed-jobs" }, "Failed jobs"), el("span", { class: "grow" }), tabs), body);
}

function table(groups, isAdmin, ask) {
  return el("table", { class: "stacked", role: "table" },
    el("thead", {}, el("tr", {}, ["Job", "Cause"].map((title) => el("th", { scope: "col" }, title)), el("th", { scope: "col", class: "right" }, "Jobs"),
      el("th", { scope: "col" }, "Last"), el("th", {}, el("span", { class: "hidden-text" }, "Actions")))),
    el("tbody", { role: "rowgroup" }, groups.map((group) => row(group, isAdmin, ask))));
}

function row(group, isAdmin, ask) {
  const cause = group.error_group ?? "unknown";
  const key = `${group.state}-${group.job}-${cause}`;
  const cell = (...content) => el("td", { role: "cell" }, ...content);
  return el("tr", { role: "row", "data-group": cause },
    cell(group.job),
    cell(el("button", { class: "link cause", type: "button", "data-key": `show-${key}`, onclick: () => list(group, isAdmin, ask) }, cause),
      group.example_error && el("span", { class: "error-text muted", title: group.example_error }, group.example_error)),
    el("td", { role: "cell", class: "right" }, count(group.count), el("span", { class: "narrow" }, group.count === 1 ? " job" : " jobs")),
    el("td", { role: "cell", class: "muted" }, since(group.last_seen)),
    el("td", { role: "cell", class: "right do" }, isAdmin && group.state !== "retrying" && el("span", { class: "buttons" },
      el("button", { class: "button small", type: "button", "data-key": `replay-${key}`, "aria-label": `Replay ${group.job}: ${cause}`, onclick: (event) => busy(event.currentTarget, () => replay(group, ask)) }, "Replay"),
      group.state === "dead" && el("button", { class: "button small", type: "button", "data-key": `discard-${key}`, "aria-label": `Discard ${group.job}: ${cause}`, onclick: () => discard(group, ask) }, "Discard"))));
}

/** The selection of a replay or discard request. */
const selection = ({ job, error_group: cause, state }) => ({ job, ...(cause === null ? {} : { error_group: cause }), state, limit: 10000 });

async function replay(group, ask) {
  const sure = await confirmed(`Replay ${plural(group.count, "job")}?`, `Each is tried again, with all its attempts before it. What has taken effect already does not take effect twice.`, "Replay", "Not now");
  if (!sure) return;
  await act(async () => {
    const { replayed } = await post("/v1/admin/jobs/replay", selection(group));
    toast(`${plural(replayed, "job")} will be tried again.`);
  }, ask);
}

function discard(group, ask) {
  openDialog(`Discard ${plural(group.count, "job")}`, (close) => form(
    [el("p", { class: "muted" }, "They are not tried again. They are kept, and can be replayed later."), field("Reason", "reason", { required: true, maxlength: 500 }, "It is kept with the jobs.")],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Not now"),
      el("button", { class: "button danger", type: "submit" }, "Discard")),
    async (data) => {
      const { discarded } = await post("/v1/admin/jobs/discard", { ...selection(group), reason: data.get("reason") });
      close();
      toast(`${plural(discarded, "job")} discarded.`);
      ask();
    }));
}

async function act(work, ask) {
  try {
    await work();
  } catch (problem) {
    complain(problem);
  }
  await ask();
}

function list(group, isAdmin, ask) {
  const query = new URLSearchParams({ state: group.state, job: group.job, limit: "20" });
  if (group.error_group !== null) query.set("error_group", group.error_group);
  openDialog(`${group.job}: ${group.error_group ?? "unknown"}`, () => {
    const body = el("div", { "aria-live": "polite" }, el("p", { class: "muted" }, "Loading…"));
    const entries = [];
    const load = async (cursor) => {
      const page = await get(`/v1/admin/jobs?${query}${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      const added = page.items.map((job) => entry(job, isAdmin, ask));
      entries.push(...added);
      replace(body, entries, page.next_cursor && el("div", { class: "more" }, el("button", { class: "button small", type: "button", "data-key": "more-jobs", onclick: (event) => busy(event.currentTarget, () => load(page.next_cursor)) }, "Show more")));
      if (cursor) added[0]?.querySelector("button").focus();
    };
    load(null).catch((problem) => replace(body, el("p", { class: "form-error" }, problem.message)));
    return body;
  }, { wide: true });
}

function entry(job, isAdmin, ask) {
  const more = el("div");
  const again = isAdmin && job.state !== "retrying" && el("button", {
    class: "button small", type: "button", "data-key": `replay-${job.event_id}`, "aria-label": `Replay ${job.event_id}`,
    onclick: (event) => busy(event.currentTarget, () => act(async () => {
      await post("/v1/admin/jobs/replay", { job: job.job, event_ids: [job.event_id], state: job.state });
      toast("It will be tried again.");
    }, ask)),
  }, "Replay");
  const details = el("button", {
    class: "button small", type: "button", "data-key": `details-${job.event_id}`, "aria-label": `Details of ${job.event_id}`,
    onclick: (event) => busy(event.currentTarget, async () => {
      const told = await get(`/v1/admin/jobs/${job.job}/${job.event_id}`);
      const names = await namesOf(told.audit.map(({ actor }) => actor));
      replace(more, el("p", { class: "muted small" }, `${plural(told.total_attempts, "attempt")} in all`), told.payload && el("pre", { tabindex: "0" }, pretty(told.payload)), told.audit.map((each) => auditLine(each, names)));
    }),
  }, "Details");
  return el("div", { class: "entry" },
    el("div", { class: "entry-head" }, el("span", { class: "mono small" }, job.event_id), el("span", { class: "grow" }), details, again),
    el("p", { class: "muted small" }, `${job.event_type} · ${plural(job.attempts, "attempt")} · first `, since(job.created_at), " · last ", since(job.updated_at),
      job.next_attempt_at && [" · next ", since(job.next_attempt_at)]),
    job.last_error && el("pre", { tabindex: "0" }, job.last_error), more);
}

const DONE = { replay: "Replayed", discard: "Discarded" };

const auditLine = (each, names) => el("p", { class: "muted small" },
  `${DONE[each.action] ?? each.action} by ${names[each.actor]}, `, since(each.at), ` (${whenExactly(each.at)})`, each.reason && `: ${each.reason}`);

/** The name of each operator; the id if the name cannot be read. */
async function namesOf(ids) {
  const name = async (id) => (id === claims().sub ? "you" : get(`/v1/users/${id}`).then((user) => user.name, () => id));
  return Object.fromEntries(await Promise.all([...new Set(ids)].map(async (id) => [id, await name(id)])));
}

const INEXACT = /\d{16}/;

/** Formats JSON with one value per line; returns other text, and JSON with numbers that JavaScript would round, unchanged. */
function pretty(text) {
  try {
    return INEXACT.test(text) ? text : JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}
