// The card of a panel of which only the JSON is known.
import { el } from "./dom.js";
import { content } from "./json-values.js";
import { panelCard } from "./panels.js";

const STEP = 50;

/** @import { Panels } from "./panels.js" */

/**
 * @param {Panels} panels
 * @param {{name: string, title: string, kind: string}} panel
 */
export function dataCard(panels, { name, title, kind }) {
  const view = new View(panels, name, title);
  const card = panelCard(panels, name, title, (data) => el("div", { class: "data" }, content(data, view)));
  card.dataset.kind = kind;
  return card;
}

/** How much of each list is shown; kept while the data changes. */
export class View {
  #panels;
  #title;
  /** @type {Map<string, number>} */
  #shown = new Map();

  /**
   * @param {Panels} panels
   * @param {string} name
   * @param {string} title
   */
  constructor(panels, name, title) {
    this.#panels = panels;
    this.name = name;
    this.#title = title;
  }

  /**
   * @param {string} path
   * @param {number} atFirst
   */
  shown(path, atFirst) {
    const known = this.#shown.get(path) ?? atFirst;
    this.#shown.set(path, known);
    return known;
  }

  /**
   * The accessible name of a table: two tables of a card have different ones.
   * @param {string} path
   */
  titleOf(path) {
    return path ? `${this.#title}: ${path.split("/").filter(Boolean).join(", ")}` : this.#title;
  }

  /** @param {string} path */
  more(path) {
    const show = () => {
      this.#shown.set(path, (this.#shown.get(path) ?? 0) + STEP);
      this.#panels.dispatchEvent(new CustomEvent(this.name));
    };
    return el("button", { class: "button small", type: "button", "data-key": `more-${this.name}-${path}`, onclick: show }, "Show more");
  }
}
