// What several views of jobs show: chips, tables, and the names of operators.
import { get, Problem } from "./api.js";
import { el } from "./dom.js";
import { claims } from "./session.js";

/** The color and the text of each state. */
export const STATES = {
  scheduled: ["info", "Scheduled"],
  waiting: ["info", "Waiting"],
  running: ["info", "Running"],
  retrying: ["warn", "Retrying"],
  done: ["good", "Done"],
  dead: ["bad", "Dead"],
  cancelled: ["", "Cancelled"],
  discarded: ["", "Discarded"],
  suppressed: ["", "Suppressed"],
};

export const chip = (look, text) => el("span", { class: `chip ${look}` }, text);
export const stateChip = (state) => chip(...STATES[state]);

/** A table whose rows are blocks on narrow screens; with these roles it remains a table for screen readers. */
export const stackedTable = (titles, rows) => el("table", { class: "stacked", role: "table" },
  el("thead", {}, el("tr", {}, titles.map(([title, look]) => el("th", { scope: "col", class: look }, title)))),
  el("tbody", { role: "rowgroup" }, rows));
export const stackedRow = (attributes, ...cells) => el("tr", { role: "row", ...attributes }, cells);
export const stackedCell = (look, ...content) => el("td", { role: "cell", class: look }, ...content);

const names = new Map();

/** The name of each operator; the id if the name cannot be read. */
export async function namesOf(ids) {
  const read = async (id) => {
    if (id === claims().sub) return "you";
    try {
      if (!names.has(id)) names.set(id, (await get(`/v1/users/${id}`)).name);
      return names.get(id);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      return id;
    }
  };
  return Object.fromEntries(await Promise.all([...new Set(ids)].map(async (id) => [id, await read(id)])));
}
