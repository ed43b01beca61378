// Optional parts of the page: each is shown once its API responds.
import { el } from "./dom.js";
import { importsSection } from "./imports.js";
import { reportsSection } from "./reports.js";
import { webhooksSection } from "./webhooks.js";

export function sections(live) {
  const place = el("div", { class: "sections" });
  for (const section of [importsSection, reportsSection, webhooksSection]) place.append(section(live));
  return place;
}
