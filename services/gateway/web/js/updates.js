// Notices that the gateway serves another version of this page, such as one with other panels.
import { el, toast } from "./dom.js";

const VERSION = /\/assets\/([^/]+)\//;
/** Another replica may answer, which has not read the changed file yet: look again. */
const LOOKS_AFTER_MS = [0, 5_000, 60_000];

let told = false;

/**
 * Offers to reload the page if its version has changed; `ended` aborts that.
 * @param {AbortSignal} ended
 */
export async function offerReload(ended) {
  for (const wait of LOOKS_AFTER_MS) {
    await new Promise((done) => setTimeout(done, wait));
    if (told || ended.aborted) return;
    if (await hasChanged(ended)) {
      told = true;
      toast("This page has been updated.", {
        stays: true,
        action: el("button", { class: "link", type: "button", onclick: () => location.reload() }, "Reload"),
      });
      return;
    }
  }
}

/** @param {AbortSignal} signal */
async function hasChanged(signal) {
  try {
    const page = await (await fetch(location.pathname, { headers: { Accept: "text/html" }, cache: "no-store", signal })).text();
    const [, current] = VERSION.exec(page) ?? [];
    return current !== undefined && current !== VERSION.exec(import.meta.url)?.[1];
  } catch {
    return false;
  }
}
