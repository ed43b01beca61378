// Secrets that are shown only once.
import { el, openDialog, toast } from "./dom.js";

/**
 * Shows a secret in a dialog, with a button that copies it. Resolves when the dialog is closed.
 * @param {string} title
 * @param {string} text  what the secret is for
 * @param {string} secret
 */
export function showOnce(title, text, secret) {
  return new Promise((done) => {
    const shown = el("p", { class: "mono secret", tabindex: "0", "aria-label": title }, secret);
    const dialog = openDialog(title, (close) => [
      el("p", {}, `${text} It is shown only now.`),
      shown,
      el("div", { class: "actions" },
        el("button", { class: "button", type: "button", onclick: () => copy(secret, shown) }, "Copy"),
        el("button", { class: "button primary", type: "button", onclick: close }, "I have kept it")),
    ]);
    dialog.addEventListener("close", () => done(undefined));
  });
}

/**
 * Browsers allow access to the clipboard only with HTTPS and on this machine: otherwise the text is selected.
 * @param {string} text
 * @param {Node} shown
 */
async function copy(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied.");
  } catch {
    getSelection()?.selectAllChildren(shown);
    toast("This browser does not allow copying here. The text is selected: copy it yourself.");
  }
}
