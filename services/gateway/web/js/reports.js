// Report downloads: orders, or daily totals.
import { call, get } from "./api.js";
import { busy, complain, el, toast } from "./dom.js";
import { field, form } from "./forms.js";
import { onDay } from "./format.js";
import { listCard, save } from "./list-card.js";
import { since } from "./times.js";

/** @type {Record<string, string>} */
const KINDS = { orders: "Orders", analytics: "Daily sums" };
const SHOWN = 5;

export function reportsSection() {
  const { card, reload } = listCard("Reports", () => get(`/v1/reports?limit=${SHOWN}`), ({ items }) => {
    if (!items.length) return el("p", { class: "empty" }, "No report yet. Choose the days, and download them as CSV.");
    return items.map(row);
  }, request(() => reload()));
  return card;
}

/** @param {() => void} reload */
function request(reload) {
  const today = new Date().toISOString().slice(0, 10);
  const before = new Date(Date.now() - 29 * 86_400_000).toISOString().slice(0, 10);
  return form(
    [
      field("Contents", "kind", { options: Object.entries(KINDS) }),
      field("From", "from", { type: "date", value: before, required: true }),
      field("To", "to", { type: "date", value: today, required: true }),
    ],
    el("button", { class: "button", type: "submit" }, "Download"),
    async (data) => {
      const report = await (await call("POST", "/v1/reports", { json: Object.fromEntries(data) })).json();
      reload();
      await download(report);
    },
    { class: "form inline-form" });
}

/** @param {Report} report */
const row = (report) => el("div", { class: "row" },
  el("span", { class: "what" }, KINDS[report.kind] ?? report.kind, el("br"),
    el("span", { class: "muted small" }, `${onDay(report.from)} to ${onDay(report.to)} · `, since(report.created_at))),
  el("button", { class: "button small", type: "button", "aria-label": `Download ${KINDS[report.kind] ?? report.kind} again`, "data-key": `report-${report.id}`, onclick: (event) => busy(event.currentTarget, () => download(report)) }, "Download"));

/** @param {Report} report */
async function download(report) {
  try {
    const response = await call("GET", `/v1/reports/${report.id}/download`);
    await save(response, `${report.kind}-${report.from}-${report.to}.csv`);
  } catch (failure) {
    if (failure instanceof TypeError) toast("The download was cut off. Try again.", { stays: true });
    else complain(failure);
  }
}
