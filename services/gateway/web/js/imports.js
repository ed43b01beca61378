// Orders from a file: uploaded, followed live, cancelled, with their errors.
import { call, get } from "./api.js";
import { busy, complain, el, toast } from "./dom.js";
import { count, plural } from "./format.js";
import { listCard, save } from "./list-card.js";
import { since } from "./times.js";

const LOOK = { queued: "info", running: "info", completed: "good", failed: "bad", cancelled: "" };
const COLUMNS = "reference,currency,sku,name,quantity,unit_price,ordered_at";
const EXAMPLE = `${COLUMNS}\nspring-001,EUR,tea-100,"Green tea, 100 g",2,1250,2026-01-31T12:00:00Z\n`;
const SHOWN = 5;

export function importsSection(live) {
  /** The latest progress of each import, by id; it may be newer than the list. */
  const told = new Map();
  const { card, reload } = listCard("Imports", () => get(`/v1/imports?limit=${SHOWN}`), ({ items }) => {
    if (!items.length) return el("p", { class: "empty" }, "No file has been imported yet.");
    return items.map((each) => row({ ...each, ...fresher(told.get(each.id), each) }, reload));
  }, upload(() => reload()));

  live.addEventListener("import", ({ detail }) => {
    const known = told.has(detail.id);
    told.set(detail.id, detail);
    const shown = card.querySelector(`[data-import="${CSS.escape(detail.id)}"]`);
    if (known && shown && detail.state === "running") advance(shown, detail);
    else reload();
  });
  live.addEventListener("ready", () => { if (!card.hidden) reload(); });
  return card;
}

/** The live progress, unless the list is newer. */
const fresher = (progress, listed) => (progress && progress.rows_done + progress.rows_failed >= listed.rows_done + listed.rows_failed && !["completed", "failed", "cancelled"].includes(listed.state) ? progress : {});

function upload(reload) {
  const input = el("input", { type: "file", accept: ".csv,text/csv", "aria-label": "Import a file", onchange: () => send(), onclick: (event) => { if (input.ariaDisabled) event.preventDefault(); } });
  const button = el("span", { class: "button small file-button" }, "Import a CSV file", input);
  const send = async () => {
    const [file] = input.files;
    if (!file) return;
    const body = new FormData();
    body.append("file", file);
    await busy(input, async () => {
      await call("POST", "/v1/imports", { body });
      toast(`${file.name} has been received.`);
    });
    input.value = "";
    reload();
  };
  return el("div", { class: "inline-form plain" }, button,
    el("button", { class: "link small", type: "button", "data-key": "import-example", onclick: () => save(new Response(EXAMPLE), "orders-example.csv") }, "Example file"));
}

function row(each, reload) {
  const active = ["queued", "running"].includes(each.state);
  const bar = el("progress", { max: Math.max(each.rows_total, 1), value: each.rows_done + each.rows_failed, "aria-label": "Progress" });
  return el("div", { class: "row", "data-import": each.id },
    el("span", { class: "what" }, each.filename ?? "orders.csv", el("br"), el("span", { class: "muted small progress-text" }, words(each))),
    el("span", { class: `chip ${LOOK[each.state]}` }, each.state),
    active && bar,
    (active || each.errors_kept > 0) && el("span", { class: "buttons" },
      each.errors_kept > 0 && el("button", { class: "button small", type: "button", "data-key": `errors-${each.id}`, onclick: (event) => busy(event.currentTarget, () => errors(each.id)) }, "Errors"),
      active && el("button", { class: "button small", type: "button", "data-key": `cancel-import-${each.id}`, onclick: (event) => busy(event.currentTarget, () => cancel(each.id, reload)) }, "Cancel")));
}

function words(each) {
  const failed = each.rows_failed ? `, ${count(each.rows_failed)} with errors` : "";
  const done = `${count(each.rows_done)} of ${plural(each.rows_total, "row")}${failed}`;
  if (each.state === "running" && each.rows_per_s) return [`${done} · ${count(Math.round(each.rows_per_s))} a second${each.eta_s === null ? "" : ` · ${plural(each.eta_s, "second")} left`}`];
  if (each.error) return [`${done} · ${each.error}`];
  return each.created_at ? [`${done} · `, since(each.created_at)] : [done];
}

function advance(shown, progress) {
  shown.querySelector(".progress-text").replaceChildren(...words(progress));
  const bar = shown.querySelector("progress");
  if (bar) bar.value = progress.rows_done + progress.rows_failed;
}

const errors = async (id) => save(await call("GET", `/v1/imports/${id}/errors`), `import-${id}-errors.csv`);

async function cancel(id, reload) {
  try {
    await call("POST", `/v1/imports/${id}/cancel`);
  } catch (problem) {
    complain(problem);
  }
  await reload();
}
