// Optional parts of the page: each is shown if the gateway offers its operation, once that responds.
import { el } from "./dom.js";
import { importsSection } from "./imports.js";
import { offers } from "./features.js";
import { reportsSection } from "./reports.js";
import { webhooksSection } from "./webhooks.js";

const SECTIONS = {
  "GET /v1/imports": importsSection,
  "GET /v1/reports": reportsSection,
  "GET /v1/webhooks": webhooksSection,
};

/** @param {import("./stream.js").Live} live */
export function sections(live) {
  const place = el("div", { class: "sections" });
  for (const [operation, section] of Object.entries(SECTIONS)) {
    if (offers(operation)) place.append(section(live));
  }
  return place;
}
