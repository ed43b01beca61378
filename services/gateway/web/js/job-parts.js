// What several views of jobs show: chips, tables, and the names of operators.
import { get, Problem } from "./api.js";
import { el } from "./dom.js";
import { claims } from "./session.js";

/** @import { Attributes, Child } from "./dom.js" */

/**
 * The color and the text of each state.
 * @type {Record<JobState, [string, string]>}
 */
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

/**
 * @param {string} look
 * @param {string} text
 */
export const chip = (look, text) => el("span", { class: `chip ${look}` }, text);
/** @param {JobState} state */
export const stateChip = (state) => chip(...STATES[state]);

/**
 * A table whose rows are blocks on narrow screens; with these roles it remains a table for screen readers.
 * @param {[Child, string?][]} titles each with its class
 * @param {Child} rows
 */
export const stackedTable = (titles, rows) => el("table", { class: "stacked", role: "table" },
  el("thead", {}, el("tr", {}, titles.map(([title, look]) => el("th", { scope: "col", class: look }, title)))),
  el("tbody", { role: "rowgroup" }, rows));
/**
 * @param {Attributes} attributes
 * @param {...Child} cells
 */
export const stackedRow = (attributes, ...cells) => el("tr", { role: "row", ...attributes }, cells);
/**
 * @param {string | null} look
 * @param {...Child} content
 */
export const stackedCell = (look, ...content) => el("td", { role: "cell", class: look }, ...content);

/** @type {Map<string, string>} */
const names = new Map();

/**
 * @param {string[]} ids
 * @returns {Promise<Record<string, string>>} The name of each operator; the id if the name cannot be read.
 */
export async function namesOf(ids) {
  const read = async (/** @type {string} */ id) => {
    if (id === claims().sub) return "you";
    try {
      const name = names.get(id) ?? (await get(`/v1/users/${id}`)).name;
      names.set(id, name);
      return name;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      return id;
    }
  };
  return Object.fromEntries(await Promise.all([...new Set(ids)].map(async (id) => [id, await read(id)])));
}
