// The theme: that of the system, until the user selects one.
import { icon } from "./dom.js";

/** @type {Record<string, import("./dom.js").Icon>} */
const ICONS = { system: "contrast", light: "sun", dark: "moon" };
/** @type {{system: "light", light: "dark", dark: "system"}} */
const NEXT = { system: "light", light: "dark", dark: "system" };
const system = matchMedia("(prefers-color-scheme: dark)");

/** @returns {keyof typeof NEXT} */
const chosen = () => /** @type {any} */ (document.documentElement.dataset.theme) ?? "system";

/** @param {HTMLElement} button */
export function setUpTheme(button) {
  const show = () => {
    button.replaceChildren(icon(ICONS[chosen()]));
    button.setAttribute("aria-label", `Theme: ${chosen()}`);
    button.title = `Theme: ${chosen()}`;
    dispatchEvent(new Event("theme"));
  };
  button.addEventListener("click", () => {
    const next = NEXT[chosen()];
    if (next === "system") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("theme");
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem("theme", next);
    }
    show();
  });
  system.addEventListener("change", show);
  matchMedia("print").addEventListener("change", () => dispatchEvent(new Event("theme"))); // paper is light
  show();
}
