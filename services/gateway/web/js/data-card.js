// The card of a panel of which only the JSON is known.
import { el } from "./dom.js";
import { content } from "./json-values.js";
import { panelCard } from "./panels.js";

const STEP = 50;

export function dataCard(panels, { name, title, kind }) {
  const view = new View(panels, name, title);
  const card = panelCard(panels, name, title, (data) => el("div", { class: "data" }, content(data, view)));
  card.dataset.kind = kind;
  return card;
}

/** How much of each list is shown; kept while the data changes. */
class View {
  #panels;
  #title;
  #shown = new Map();

  constructor(panels, name, title) {
    this.#panels = panels;
    this.name = name;
    this.#title = title;
  }

  shown(path, atFirst) {
    if (!this.#shown.has(path)) this.#shown.set(path, atFirst);
    return this.#shown.get(path);
  }

  /** The accessible name of a table: two tables of a card have different ones. */
  titleOf(path) {
    return path ? `${this.#title}: ${path.split("/").filter(Boolean).join(", ")}` : this.#title;
  }

  more(path) {
    const show = () => {
      this.#shown.set(path, this.#shown.get(path) + STEP);
      this.#panels.dispatchEvent(new CustomEvent(this.name));
    };
    return el("button", { class: "button small", type: "button", "data-key": `more-${this.name}-${path}`, onclick: show }, "Show more");
  }
}
