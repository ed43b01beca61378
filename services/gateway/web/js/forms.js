// Forms that show which field is invalid, and why.
import { el } from "./dom.js";
import { Problem } from "./api.js";
import { wordsForInput } from "./messages.js";

let made = 0;

/** @import { Attributes, Child } from "./dom.js" */
/** @import { Input } from "./messages.js" */

/**
 * A labelled input. `name` is the server's name of the field.
 * @param {string} label
 * @param {string} name
 * @param {Attributes & {options?: [string, string][]}} attributes
 * @param {Child} hint
 */
export function field(label, name, attributes = {}, hint = null) {
  const id = `field-${++made}`;
  const described = hint ? `${id}-hint` : null;
  const input = attributes.options
    ? el("select", { id, name, "aria-describedby": described }, attributes.options.map(([value, text]) => el("option", { value }, text)))
    : el("input", { id, name, "aria-describedby": described, ...attributes });
  return el("div", { class: "field" }, el("label", { for: id }, label), input,
    hint && el("span", { class: "hint", id: described }, hint));
}

/**
 * Runs `submit(data)` when the form is submitted; shows its `Problem` at the fields, or above the buttons.
 * @param {Child} children
 * @param {Child} buttons
 * @param {(data: FormData, node: HTMLFormElement) => unknown} submit
 * @param {Attributes} attributes
 */
export function form(children, buttons, submit, attributes = {}) {
  const error = el("p", { class: "form-error", role: "alert", hidden: true });
  const node = el("form", { class: "form", novalidate: true, ...attributes }, children, error, buttons);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = /** @type {HTMLElement} */ (node.querySelector("[type=submit]"));
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

/**
 * @param {HTMLFormElement} node
 * @param {HTMLElement} error
 */
function clear(node, error) {
  error.hidden = true;
  for (const wrong of node.querySelectorAll(".wrong")) {
    const input = node.querySelector(`[aria-describedby~="${wrong.id}"]`);
    input?.setAttribute("aria-describedby", input.getAttribute("aria-describedby")?.replace(wrong.id, "").trim() ?? "");
    wrong.remove();
  }
  for (const input of node.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
}

/** @param {HTMLFormElement} node */
function valid(node) {
  const wrong = /** @type {Input[]} */ ([...node.elements]).filter((input) => input.willValidate && !input.validity.valid);
  for (const input of wrong) mark(input, wordsForInput(input));
  wrong[0]?.focus();
  return wrong.length === 0;
}

/**
 * @param {HTMLFormElement} node
 * @param {HTMLElement} error
 * @param {Problem} problem
 */
function show(node, error, problem) {
  /** @type {[Input | undefined, string][]} */
  const found = Object.entries(problem.fields).map(([name, words]) => [inputOf(node, name), words]);
  for (const [input, words] of found) if (input) mark(input, words);
  /** @type {HTMLElement | null} */ (node.querySelector("[aria-invalid]"))?.focus();
  if (found.length && found.every(([input]) => input)) return;
  error.textContent = problem.message;
  error.hidden = false;
}

/**
 * The input of a field such as `email`, or such as `items.1.quantity`: the second with its name.
 * @param {HTMLFormElement} node
 * @param {string} field
 * @returns {Input | undefined}
 */
function inputOf(node, field) {
  const [, number, name] = /^(?:\w+\.(\d+)\.)?(\w+)$/.exec(field) ?? [];
  const named = name ? /** @type {NodeListOf<Input>} */ (node.querySelectorAll(`[name="${name}"]`)) : [];
  return named[Number(number ?? 0)];
}

/**
 * @param {Input} input
 * @param {string} message
 */
function mark(input, message) {
  if (input.hasAttribute("aria-invalid")) return;
  const id = `${input.id || input.name}-wrong`;
  input.setAttribute("aria-invalid", "true");
  input.setAttribute("aria-describedby", [input.getAttribute("aria-describedby"), id].filter(Boolean).join(" "));
  input.closest(".field, .checks")?.append(el("span", { class: "wrong", id }, message));
}
