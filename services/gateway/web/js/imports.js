// Orders from a file: uploaded, followed live, cancelled, with their errors.
import { call, get, upload } from "./api.js";
import { busy, complain, el, toast } from "./dom.js";
import { offers } from "./features.js";
import { count, percent, plural } from "./format.js";
import { listCard, save } from "./list-card.js";
import { linkTo } from "./router.js";
import { since } from "./times.js";

/** @import { Live } from "./stream.js" */

/** @type {Record<ImportState, string>} */
export const LOOK = { queued: "info", running: "info", completed: "good", failed: "bad", cancelled: "" };
const COLUMNS = "reference,currency,sku,name,quantity,unit_price,ordered_at";
const EXAMPLE = `${COLUMNS}\nspring-001,EUR,tea-100,"Green tea, 100 g",2,1250,2026-01-31T12:00:00Z\n`;
const SHOWN = 5;
const CANCELLED = Symbol("cancelled");

/** @param {Live} live */
export function importsSection(live) {
  /**
   * The latest progress of each import, by id; it may be newer than the list.
   * @type {Map<string, ImportProgress>}
   */
  const told = new Map();
  const { card, reload } = listCard("Imports", () => get(`/v1/imports?limit=${SHOWN}`), (/** @type {{items: ImportStatus[]}} */ { items }) => {
    if (!items.length) return el("p", { class: "empty" }, "No file has been imported yet.");
    return items.map((each) => row({ ...each, ...fresher(told.get(each.id), each) }, reload));
  }, uploadForm(() => reload()));

  live.addEventListener("import", (/** @type {Told} */ { detail }) => {
    const known = told.has(detail.id);
    told.set(detail.id, detail);
    const shown = card.querySelector(`[data-import="${CSS.escape(detail.id)}"]`);
    if (known && shown && detail.state === "running") advance(shown, detail);
    else reload();
  });
  live.addEventListener("ready", () => { if (!card.hidden) reload(); });
  return card;
}

/**
 * The live progress, unless the list is newer.
 * @param {ImportProgress | undefined} progress
 * @param {ImportStatus} listed
 */
const fresher = (progress, listed) => (progress && progress.rows_done + progress.rows_failed >= listed.rows_done + listed.rows_failed && !["completed", "failed", "cancelled"].includes(listed.state) ? progress : {});

/** @param {() => void} reload */
function uploadForm(reload) {
  /** @type {HTMLInputElement} */
  const input = el("input", { type: "file", accept: ".csv,text/csv", "aria-label": "Import a file", onchange: () => send(), onclick: (event) => { if (input.ariaDisabled) event.preventDefault(); } });
  const button = el("span", { class: "button small file-button" }, "Import a CSV file", input);
  const place = el("div", { class: "upload", hidden: true });
  const send = async () => {
    const [file] = /** @type {FileList} */ (input.files);
    if (!file) return;
    const body = new FormData();
    body.append("file", file);
    const stopped = new AbortController();
    const shown = uploading(file.name, () => stopped.abort(CANCELLED));
    place.replaceChildren(...shown.content);
    place.hidden = false;
    await busy(input, async () => {
      try {
        await upload("/v1/imports", body, { progress: shown.progress, signal: stopped.signal });
        toast(`${file.name} has been received.`);
      } catch (failure) {
        if (failure !== CANCELLED) throw failure;
        toast(`The upload of ${file.name} has been cancelled.`);
      }
    });
    const hadFocus = place.contains(document.activeElement);
    place.hidden = true;
    place.replaceChildren();
    if (hadFocus) input.focus();
    input.value = "";
    reload();
  };
  return el("div", { class: "inline-form plain" }, button,
    el("button", { class: "link small", type: "button", "data-key": "import-example", onclick: () => save(new Response(EXAMPLE), "orders-example.csv") }, "Example file"),
    place);
}

/**
 * Shows how much of a file has been sent, and a button that stops it.
 * @param {string} name
 * @param {() => void} stop
 */
function uploading(name, stop) {
  const bar = el("progress", { max: 1, value: 0, "aria-label": `Upload of ${name}` });
  const words = el("span", { class: "muted small", role: "status" }, `Uploading ${name}…`);
  const progress = (/** @type {number} */ part) => {
    bar.value = part;
    words.textContent = part < 1 ? `Uploading ${name}: ${percent(part)}` : `${name} is being checked…`;
  };
  return { progress, content: [words, bar, el("button", { class: "button small", type: "button", onclick: stop }, "Cancel the upload")] };
}

/** @param {ImportStatus} each */
export const isActive = ({ state }) => ["queued", "running"].includes(state);
/** @param {ImportStatus} each */
export const nameOf = (each) => each.filename ?? "orders.csv";

/**
 * @param {ImportStatus} each
 * @param {() => Promise<void>} reload
 */
function row(each, reload) {
  const active = isActive(each);
  const bar = el("progress", { max: Math.max(each.rows_total, 1), value: each.rows_done + each.rows_failed, "aria-label": "Progress" });
  return el("div", { class: "row", "data-import": each.id },
    el("span", { class: "what" }, offers("GET /v1/imports/{id}") ? linkTo(`#/imports/${each.id}`, nameOf(each), { "data-key": `import-${each.id}` }) : nameOf(each), el("br"), el("span", { class: "muted small progress-text" }, words(each))),
    el("span", { class: `chip ${LOOK[each.state]}` }, each.state),
    active && bar,
    (active || each.errors_kept > 0) && el("span", { class: "buttons" },
      each.errors_kept > 0 && (offers("GET /v1/imports/{id}", "GET /v1/imports/{id}/row-errors")
        ? linkTo(`#/imports/${each.id}`, "Errors", { class: "button small", "data-key": `errors-${each.id}`, "aria-label": `Errors of ${nameOf(each)}` })
        : errorsButton(each, "Errors")),
      active && cancelButton(each, reload)));
}

/**
 * How far an import is.
 * @param {ImportProgress & Partial<ImportStatus>} each
 */
export function words(each) {
  const failed = each.rows_failed ? `, ${count(each.rows_failed)} with errors` : "";
  const done = `${count(each.rows_done)} of ${plural(each.rows_total, "row")}${failed}`;
  if (each.state === "running" && each.rows_per_s) return [`${done} · ${count(Math.round(each.rows_per_s))} a second${each.eta_s === null ? "" : ` · ${plural(each.eta_s, "second")} left`}`];
  if (each.error) return [`${done} · ${each.error}`];
  return each.created_at ? [`${done} · `, since(each.created_at)] : [done];
}

/**
 * @param {Element} shown
 * @param {ImportProgress} progress
 */
function advance(shown, progress) {
  /** @type {Element} */ (shown.querySelector(".progress-text")).replaceChildren(...words(progress));
  const bar = shown.querySelector("progress");
  if (bar) bar.value = progress.rows_done + progress.rows_failed;
}

/**
 * Downloads all errors of an import as CSV.
 * @param {ImportStatus} status
 * @param {string} words
 */
export const errorsButton = ({ id }, words) => offers("GET /v1/imports/{id}/errors") && el("button", {
  class: "button small", type: "button", "data-key": `errors-${id}`,
  onclick: (event) => busy(event.currentTarget, async () => save(await call("GET", `/v1/imports/${id}/errors`), `import-${id}-errors.csv`)),
}, words);

/**
 * @param {ImportStatus} each
 * @param {() => Promise<void>} reload
 */
export const cancelButton = (each, reload) => offers("POST /v1/imports/{id}/cancel") && el("button", {
  class: "button small", type: "button", "data-key": `cancel-import-${each.id}`, "aria-label": `Cancel ${nameOf(each)}`,
  onclick: (event) => busy(event.currentTarget, () => cancel(each.id, reload)),
}, each.cancel_requested ? "Cancelling…" : "Cancel");

/**
 * @param {string} id
 * @param {() => Promise<void>} reload
 */
async function cancel(id, reload) {
  try {
    await call("POST", `/v1/imports/${id}/cancel`);
    toast("The import stops. Orders that have been imported stay.");
  } catch (problem) {
    complain(problem);
  }
  await reload();
}
