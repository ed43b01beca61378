// A canvas supports neither custom properties nor `light-dark()`.
import { el } from "./dom.js";

/**
 * @param {Element} near
 * @returns {(name: string) => string} Returns a colour of the theme (`--accent`) as the browser has computed it near an element.
 */
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
