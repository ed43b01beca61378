// Times relative to now, which are updated while they are shown.
import { el } from "./dom.js";
import { ago, whenExactly } from "./format.js";

const EVERY_MS = 10_000;

/**
 * @param {string} iso
 * @returns "3 minutes ago"; the full time as a tooltip.
 */
export const since = (iso) => el("time", { datetime: iso, title: whenExactly(iso), "data-ages": true }, ago(iso));

function update() {
  if (document.hidden) return;
  for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (document.querySelectorAll("time[data-ages]"))) {
    const words = ago(time.dateTime);
    if (time.textContent !== words) time.textContent = words;
  }
}

setInterval(update, EVERY_MS);
document.addEventListener("visibilitychange", update);
