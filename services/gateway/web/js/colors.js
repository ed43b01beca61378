// A canvas knows neither custom properties nor `light-dark()`.
import { el } from "./dom.js";

/** A function that gives a colour of the theme (`--accent`) as the browser has worked it out near an element. */
export function colorsOf(near) {
  const style = getComputedStyle(near);
  return (name) => {
    const probe = el("span");
    probe.style.color = style.getPropertyValue(name);
    near.append(probe);
    const { color } = getComputedStyle(probe);
    probe.remove();
    return color;
  };
}
