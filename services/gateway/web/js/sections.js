// The parts of the page that not every server has: each is shown once its API answers.
import { el } from "./dom.js";
import { importsSection } from "./imports.js";
import { reportsSection } from "./reports.js";
import { webhooksSection } from "./webhooks.js";

export function sections(live) {
  const place = el("div", { class: "sections" });
  for (const section of [importsSection, reportsSection, webhooksSection]) place.append(section(live));
  return place;
}
