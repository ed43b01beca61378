// Forms that say which field was refused, and why.
import { el } from "./dom.js";
import { Problem } from "./api.js";

let made = 0;

/** A labelled input. `name` is what the server calls the field. */
export function field(label, name, attributes = {}, hint = null) {
  const id = `field-${++made}`;
  const described = hint ? `${id}-hint` : null;
  const input = attributes.options
    ? el("select", { id, name, "aria-describedby": described }, attributes.options.map(([value, text]) => el("option", { value }, text)))
    : el("input", { id, name, "aria-describedby": described, ...attributes });
  return el("div", { class: "field" }, el("label", { for: id }, label), input,
    hint && el("span", { class: "hint", id: described }, hint));
}

/** Runs `submit(data)` when the form is sent; shows its `Problem` at the fields, or above the buttons. */
export function form(children, buttons, submit, attributes = {}) {
  const error = el("p", { class: "form-error", role: "alert", hidden: true });
  const node = el("form", { class: "form", novalidate: true, ...attributes }, children, error, buttons);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    clear(node, error);
    if (!valid(node)) return;
    const button = node.querySelector("[type=submit]");
    button.disabled = true;
    try {
      await submit(new FormData(node), node);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      show(node, error, problem);
    } finally {
      button.disabled = false;
    }
  });
  return node;
}

function clear(node, error) {
  error.hidden = true;
  for (const wrong of node.querySelectorAll(".wrong")) wrong.remove();
  for (const input of node.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

function valid(node) {
  const wrong = [...node.elements].filter((input) => input.willValidate && !input.validity.valid);
  for (const input of wrong) mark(input, input.validationMessage);
  wrong[0]?.focus();
  return wrong.length === 0;
}

function show(node, error, problem) {
  const strange = [];
  for (const [name, message] of Object.entries(problem.fields)) {
    const input = node.elements.namedItem(name);
    if (input instanceof Element) mark(input, message);
    else strange.push(`${name}: ${message}`);
  }
  node.querySelector("[aria-invalid]")?.focus();
  if (strange.length || !Object.keys(problem.fields).length) {
    error.textContent = strange.join("; ") || problem.message;
    error.hidden = false;
  }
}

export function mark(input, message) {
  input.setAttribute("aria-invalid", "true");
  const id = `${input.id}-wrong`;
  input.setAttribute("aria-describedby", id);
  input.closest(".field").append(el("span", { class: "wrong", id }, message));
}
