// The operators' page: the view is selected by the address, after the `#`.
import { Audit } from "./audit.js";
import { el, focusHeading } from "./dom.js";
import { offers } from "./features.js";
import { History } from "./history.js";
import { JobPage } from "./job-page.js";
import { JobSearch } from "./job-search.js";
import { Overview } from "./overview.js";
import { Schedules } from "./schedules.js";
import { UserPage } from "./user-page.js";
import { Users } from "./users.js";
import { Workers } from "./workers.js";

/** @typedef {{close: () => void, show?: (query: URLSearchParams) => void}} Page */
/** @typedef {{path: RegExp, view: new (place: Element, isAdmin: boolean, ...parts: string[]) => Page, link: string, title: string | null}} Entry */

const TITLE = "Operations";
const JOBS = "GET /v1/admin/jobs";
const SCHEDULES = "GET /v1/admin/schedules";
const HISTORY = "GET /v1/admin/jobs/history";
const WORKERS = "GET /v1/admin/workers";
const USERS = "GET /v1/users";
const AUDIT = "GET /v1/admin/audit";
const LINKS = [
  ["#/", "Overview"], ["#/jobs", "Jobs", JOBS], ["#/history", "History", HISTORY], ["#/workers", "Workers", WORKERS],
  ["#/schedules", "Schedules", SCHEDULES], ["#/users", "Users", USERS], ["#/audit", "Audit", AUDIT],
]
  .filter(([, , operation]) => !operation || offers(operation));
const VIEWS = [
  { path: /^jobs$/, view: JobSearch, link: "#/jobs", title: "Jobs", operation: JOBS },
  { path: /^jobs\/([\w-]+)\/([\w-]+)$/, view: JobPage, link: "#/jobs", title: "Job", operation: JOBS },
  { path: /^schedules$/, view: Schedules, link: "#/schedules", title: "Schedules", operation: SCHEDULES },
  { path: /^history$/, view: History, link: "#/history", title: "History", operation: HISTORY },
  { path: /^workers$/, view: Workers, link: "#/workers", title: "Workers", operation: WORKERS },
  { path: /^users$/, view: Users, link: "#/users", title: "Users", operation: USERS },
  { path: /^users\/([\w-]+)$/, view: UserPage, link: "#/users", title: "User", operation: "GET /v1/admin/users/{id}" },
  { path: /^audit$/, view: Audit, link: "#/audit", title: "Audit log", operation: AUDIT },
  { path: /^/, view: Overview, link: "#/", title: null },
].filter(({ operation }) => !operation || offers(operation));

export class Operations {
  #ended = new AbortController();
  #links = el("nav", { class: "segments views", "aria-label": TITLE, hidden: LINKS.length === 1 }, LINKS.map(([href, text]) => el("a", { href }, text)));
  #place = el("div");
  #isAdmin;
  /** @type {Page | null} */
  #view = null;
  /** @type {string | null} */
  #path = null;

  /**
   * @param {Element} place
   * @param {boolean} isAdmin
   */
  constructor(place, isAdmin) {
    this.#isAdmin = isAdmin;
    place.replaceChildren(this.#links, this.#place);
    addEventListener("hashchange", () => this.#open(), { signal: this.#ended.signal });
    this.#open();
  }

  close() {
    this.#ended.abort();
    /** @type {Page} */ (this.#view).close();
    document.title = TITLE;
    closeDialogs();
  }

  #open() {
    const [path, query] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
    if (path !== this.#path) this.#change(path);
    /** @type {Page} */ (this.#view).show?.(new URLSearchParams(query));
  }

  /** @param {string} path */
  #change(path) {
    const { path: pattern, view: View, link, title } = /** @type {Entry} */ (VIEWS.find((each) => each.path.test(path)));
    const isFirst = this.#view === null;
    closeDialogs();
    this.#view?.close();
    this.#path = path;
    for (const each of this.#links.children) each.ariaCurrent = each.getAttribute("href") === link ? "page" : null;
    document.title = title ? `${title} · ${TITLE}` : TITLE;
    this.#view = new View(this.#place, this.#isAdmin, .../** @type {RegExpExecArray} */ (pattern.exec(path)).slice(1));
    if (isFirst) return;
    scrollTo(0, 0);
    focusHeading(this.#place);
  }
}

function closeDialogs() {
  for (const dialog of document.querySelectorAll("dialog")) dialog.close();
}
