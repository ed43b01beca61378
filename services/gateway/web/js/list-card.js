// Cards that load a list, and downloads of authenticated calls.
import { isMissing, Problem } from "./api.js";
import { el, replace } from "./dom.js";

/** @import { Child } from "./dom.js" */

/**
 * A card that appears once `load` has a response, and stays hidden if the server lacks the feature. `fill(answer)`
 * returns the list; `above` is shown above it. Returns the card and a function that loads again.
 * @param {string} title
 * @param {() => Promise<any>} load
 * @param {(answer: any) => Child} fill
 * @param {Child} [above]
 */
export function listCard(title, load, fill, above) {
  const list = el("div");
  const card = el("section", { class: "card", "aria-label": title, hidden: true },
    el("div", { class: "card-head" }, el("h2", {}, title)), above, list);
  const reload = async () => {
    try {
      replace(list, fill(await load()));
      card.hidden = false;
    } catch (problem) {
      if (isMissing(problem)) return;
      if (!(problem instanceof Problem)) throw problem;
      card.hidden = false;
      replace(list, el("div", { class: "away" }, el("p", {}, `${title} cannot be shown now: ${problem.message}`),
        el("button", { class: "button small", type: "button", "data-key": "retry", onclick: reload }, "Try again")));
    }
  };
  reload();
  return { card, reload };
}

/**
 * Lets the browser save the response of an authenticated call.
 * @param {Response} response
 * @param {string} name
 */
export async function save(response, name) {
  const address = URL.createObjectURL(await response.blob());
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
