// Makes elements. Text always becomes a text node: nothing that anybody typed is ever read as HTML.

const SVG = "http://www.w3.org/2000/svg";
const PATHS = {
  sun: "M12 4V2m0 20v-2m8-8h2M2 12h2m13.7-5.7 1.4-1.4M4.9 19.1l1.4-1.4m0-11.4L4.9 4.9m14.2 14.2-1.4-1.4M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8Z",
  moon: "M20.5 14.1A8.5 8.5 0 0 1 9.9 3.5a8.5 8.5 0 1 0 10.6 10.6Z",
  contrast: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18Zm0 0v18",
  close: "M6 6l12 12M18 6L6 18",
  plus: "M12 5v14M5 12h14",
};

/** An element: attributes by name, `on…` for listeners, a property where the value is no text (`disabled: true`). */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  for (const [key, value] of Object.entries({
    viewBox: "0 0 24 24", fill: "none", stroke: "currentColor", "stroke-width": "1.8",
    "stroke-linecap": "round", "stroke-linejoin": "round", "aria-hidden": "true",
  })) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** Replaces what is in `place`, and keeps the focus on the element with the same `data-key`. */
export function replace(place, ...children) {
  const key = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  place.replaceChildren(...children.flat().filter(Boolean));
  if (key) place.querySelector(`[data-key="${CSS.escape(key)}"]`)?.focus();
}

let toastsShown = 0;

/** Says something in passing; screen readers hear it. */
export function toast(text) {
  const shown = el("div", { class: "toast" }, text);
  const place = document.getElementById("toasts");
  place.append(shown);
  if (++toastsShown > 3) { place.firstElementChild.remove(); toastsShown--; }
  setTimeout(() => { if (shown.isConnected) { shown.remove(); toastsShown--; } }, 6000);
}

/** A modal dialog, gone when it is closed. `fill` gets a function that closes it. */
export function openDialog(title, fill, { wide = false } = {}) {
  const heading = el("h2", { id: "dialog-title", class: "grow" }, title);
  const close = () => dialog.close();
  const dialog = el(
    "dialog", { "aria-labelledby": "dialog-title", class: wide ? "wide" : null },
    el("div", { class: "dialog-head" }, heading,
      el("button", { class: "icon-button", type: "button", "aria-label": "Close", onclick: close }, icon("close"))),
  );
  const body = el("div", { class: "dialog-body" });
  dialog.append(body);
  body.append(...[fill(close)].flat());
  const before = document.activeElement;
  dialog.addEventListener("close", () => {
    dialog.remove();
    focusAgain(before);
  });
  document.body.append(dialog);
  dialog.showModal();
  body.querySelector("input, select")?.focus();
  return dialog;
}

/** What had the focus may have been drawn anew meanwhile. */
function focusAgain(before) {
  if (before.isConnected) before.focus();
  else if (before.dataset.key) document.querySelector(`[data-key="${CSS.escape(before.dataset.key)}"]`)?.focus();
}

/** Asks before something that cannot be taken back. */
export function confirmed(title, text, action, otherwise = "Keep it") {
  return new Promise((decide) => {
    const dialog = openDialog(title, (close) => [
      el("p", { class: "muted" }, text),
      el("div", { class: "actions" },
        el("button", { class: "button", type: "button", onclick: close }, otherwise),
        el("button", { class: "button primary", type: "button", onclick: () => { decide(true); close(); } }, action)),
    ]);
    dialog.querySelector(".actions").style.marginTop = "20px";
    dialog.addEventListener("close", () => decide(false));
  });
}
