// Cards that load a list, and downloads of what an authenticated call returns.
import { isMissing } from "./api.js";
import { el, replace } from "./dom.js";

/**
 * A card that shows itself once `load` has an answer, and stays away when there is no such thing here. `fill(answer)`
 * gives the list; `above` stands over it. Returns the card and a function that loads again.
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
      card.hidden = false;
      replace(list, el("div", { class: "away" }, el("p", {}, `${title} cannot be shown now: ${problem.message}`),
        el("button", { class: "button small", type: "button", "data-key": "retry", onclick: reload }, "Try again")));
    }
  };
  reload();
  return { card, reload };
}

/** Has the browser save what an authenticated call brings. */
export async function save(response, name) {
  const address = URL.createObjectURL(await response.blob());
  el("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
