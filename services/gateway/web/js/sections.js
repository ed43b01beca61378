// The parts of the page that not every server has: each is there when its API answers.
import { el } from "./dom.js";

export function sections() {
  return el("div", { class: "sections" });
}
