// Forms that show which field is invalid, and why.
import { el } from "./dom.js";
import { Problem } from "./api.js";
import { wordsForInput } from "./messages.js";

let made = 0;

/** A labelled input. `name` is the server's name of the field. */
export function field(label, name, attributes = {}, hint = null) {
  const id = `field-${++made}`;
  const described = hint ? `${id}-hint` : null;
  const input = attributes.options
    ? el("select", { id, name, "aria-describedby": described }, attributes.options.map(([value, text]) => el("option", { value }, text)))
    : el("input", { id, name, "aria-describedby": described, ...attributes });
  return el("div", { class: "field" }, el("label", { for: id }, label), input,
    hint && el("span", { class: "hint", id: described }, hint));
}

/** Runs `submit(data)` when the form is submitted; shows its `Problem` at the fields, or above the buttons. */
export function form(children, buttons, submit, attributes = {}) {
  const error = el("p", { class: "form-error", role: "alert", hidden: true });
  const node = el("form", { class: "form", novalidate: true, ...attributes }, children, error, buttons);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = node.querySelector("[type=submit]");
    if (button.ariaDisabled === "true") return;
    clear(node, error);
    if (!valid(node)) return;
    button.ariaDisabled = "true"; // not `disabled`, which would lose the focus
    try {
      await submit(new FormData(node), node);
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      show(node, error, problem);
    } finally {
      button.ariaDisabled = null;
    }
  });
  return node;
}

function clear(node, error) {
  error.hidden = true;
  for (const wrong of node.querySelectorAll(".wrong")) {
    const input = node.querySelector(`[aria-describedby~="${wrong.id}"]`);
    input.setAttribute("aria-describedby", input.getAttribute("aria-describedby").replace(wrong.id, "").trim());
    wrong.remove();
  }
  for (const input of node.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

function valid(node) {
  const wrong = [...node.elements].filter((input) => input.willValidate && !input.validity.valid);
  for (const input of wrong) mark(input, wordsForInput(input));
  wrong[0]?.focus();
  return wrong.length === 0;
}

function show(node, error, problem) {
  const found = Object.entries(problem.fields).map(([name, words]) => [inputOf(node, name), words]);
  for (const [input, words] of found) if (input) mark(input, words);
  node.querySelector("[aria-invalid]")?.focus();
  if (found.length && found.every(([input]) => input)) return;
  error.textContent = problem.message;
  error.hidden = false;
}

/** The input of a field such as `email`, or such as `items.1.quantity`: the second with its name. */
function inputOf(node, field) {
  const [, number, name] = /^(?:\w+\.(\d+)\.)?(\w+)$/.exec(field) ?? [];
  return name && node.querySelectorAll(`[name="${name}"]`)[number ?? 0];
}

function mark(input, message) {
  if (input.hasAttribute("aria-invalid")) return;
  const id = `${input.id || input.name}-wrong`;
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", [input.getAttribute("aria-describedby"), id].filter(Boolean).join(" "));
  input.closest(".field, .checks").append(el("span", { class: "wrong", id }, message));
}
