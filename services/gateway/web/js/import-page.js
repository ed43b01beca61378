// The page of one import: how far it is, and the errors of its rows.
import { get, isMissing, Problem } from "./api.js";
import { busy, el, replace } from "./dom.js";
import { offers } from "./features.js";
import { count, whenExactly } from "./format.js";
import { cancelButton, errorsButton, isActive, LOOK, nameOf, words } from "./imports.js";
import { linkTo } from "./router.js";

const SHOWN = 100;

/** @type {import("./router.js").View} */
export const importView = {
  title: "Import",
  access: "signed-in",
  open(place, { params, home }) {
    const ended = new AbortController();
    const heading = el("h1", {}, "Import");
    const body = el("div", { class: "parts" }, el("p", { class: "muted", role: "status" }, "Loading…"));
    place.replaceChildren(el("div", { class: "thing-page" }, el("p", { class: "small" }, linkTo("#/", "Dashboard")), heading, body));

    let calls = 0;
    const load = async () => {
      const number = ++calls;
      const isWanted = () => number === calls && !ended.signal.aborted;
      try {
        /** @type {ImportStatus} */
        const status = await get(`/v1/imports/${params.id}`);
        /** @type {RowError[]} */
        const errors = status.errors_kept && offers("GET /v1/imports/{id}/row-errors") ? (await get(`/v1/imports/${params.id}/row-errors?limit=${SHOWN}`)).items : [];
        if (!isWanted()) return;
        heading.textContent = nameOf(status);
        replace(body, ...parts(status, errors, load));
      } catch (problem) {
        if (!(problem instanceof Problem)) throw problem;
        if (isWanted()) replace(body, failed(problem, load));
      }
    };
    home.live.addEventListener("import", (/** @type {Told} */ { detail }) => { if (detail.id === params.id) load(); }, { signal: ended.signal });
    home.live.addEventListener("ready", load, { signal: ended.signal });
    load();
    return () => ended.abort();
  },
};

/**
 * @param {Problem} problem
 * @param {() => Promise<void>} load
 */
const failed = (problem, load) => el("div", { class: "card" }, el("div", { class: "away" },
  el("p", {}, isMissing(problem) || problem.status === 422 ? "There is no such import in your account. Imports are kept for a week." : problem.message),
  !isMissing(problem) && problem.status !== 422 && el("button", { class: "button small", type: "button", "data-key": "retry", onclick: (event) => busy(event.currentTarget, load) }, "Try again")));

/**
 * @param {ImportStatus} status
 * @param {RowError[]} errors
 * @param {() => Promise<void>} load
 */
function parts(status, errors, load) {
  const active = isActive(status);
  return [
    el("section", { class: "card", "aria-label": "Progress" },
      el("div", { class: "card-head" }, el("h2", {}, "Progress"), el("span", { class: "grow" }), el("span", { class: `chip ${LOOK[status.state]}` }, status.state)),
      el("div", { class: "card-body" },
        el("p", {}, words(status)),
        active && el("progress", { max: Math.max(status.rows_total, 1), value: status.rows_done + status.rows_failed, "aria-label": "Progress" }),
        el("dl", { class: "facts" },
          el("dt", {}, "Uploaded"), el("dd", {}, whenExactly(status.created_at)),
          status.finished_at && [el("dt", {}, "Ended"), el("dd", {}, whenExactly(status.finished_at))],
          status.rows_repeated > 0 && [el("dt", {}, "Existed already"), el("dd", {}, count(status.rows_repeated))]),
        active && cancelButton(status, load))),
    status.rows_failed > 0 && errorsCard(status, errors),
  ].filter(Boolean);
}

/**
 * @param {ImportStatus} status
 * @param {RowError[]} errors
 */
const errorsCard = (status, errors) => el("section", { class: "card", "aria-label": "Errors" },
  el("div", { class: "card-head" }, el("h2", {}, "Errors"), el("span", { class: "grow" }), errorsButton(status, "Download all as CSV")),
  errors.length > 0 && el("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Errors of rows" }, el("table", {},
    el("thead", {}, el("tr", {}, el("th", { class: "right" }, "Line"), ["Reference", "Column", "What is wrong"].map((title) => el("th", {}, title)))),
    el("tbody", {}, errors.map(({ line, reference, field, message }) => el("tr", {},
      el("td", { class: "right" }, count(line)), el("td", { class: "mono small" }, reference || "–"), el("td", {}, field === "row" ? "–" : field), el("td", {}, message)))))),
  el("p", { class: "card-foot muted small" }, status.errors_kept > errors.length
    ? `The first ${count(errors.length)} of ${count(status.errors_kept)} errors. The file has the others.`
    : "Correct these rows and import the file again: rows that are orders already are not imported twice."));
