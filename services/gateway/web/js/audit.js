// The audit log, and the form that filters it.
import { el } from "./dom.js";
import { ID_PATTERN } from "./filters.js";
import { field } from "./forms.js";
import { plural, whenExactly } from "./format.js";
import { AUDIT_FILTERS, auditAddress, userAddress } from "./job-addresses.js";
import { namesOf, stackedCell, stackedRow, stackedTable } from "./job-parts.js";
import { Search } from "./search.js";
import { since } from "./times.js";

/** @type {[string][]} */
const TITLES = [["Action"], ["Who and whom"], ["Time"], ["From"]];
const NONE = "No entry matches.";
const ID = { pattern: ID_PATTERN, autocomplete: "off", spellcheck: "false" };

/** @extends {Search<AuditEntry>} */
export class Audit extends Search {
  /** @param {Element} place */
  constructor(place) {
    super(place, {
      title: "Audit log",
      path: "/v1/admin/audit",
      filters: AUDIT_FILTERS,
      address: auditAddress,
      fields: el("div", { class: "search-fields" },
        field("Action", "action", { maxlength: 200, autocomplete: "off", spellcheck: "false" }, "The complete name, such as signed_in."),
        field("Actor", "actor_id", ID, "The id of who acted."),
        field("Subject", "subject_id", ID, "The id of the account."),
        field("From", "from", { type: "datetime-local" }),
        field("Before", "to", { type: "datetime-local" })),
      look: "audit",
      note: (all, isMore) => [`${isMore ? "The newest " : ""}${plural(all.length, "entry", "entries")}.`],
      table: auditEntries,
      none: NONE,
    });
  }
}

/**
 * A table of entries of the audit log, with the names of the operators who acted.
 * @param {AuditEntry[]} items
 */
export async function auditEntries(items) {
  if (!items.length) return el("p", { class: "empty" }, NONE);
  const operators = items.filter(({ actor_id: id, actor_role: role }) => id && role && role !== "user").map(({ actor_id: id }) => /** @type {string} */ (id));
  const names = await namesOf(operators);
  return stackedTable(TITLES, items.map((entry) => row(entry, names)));
}

/**
 * @param {string} key
 * @param {string} id
 * @param {string} [text]
 */
const person = (key, id, text) => el("a", { href: userAddress(id), "data-key": key, class: text ? null : "mono small" }, text ?? id);

/**
 * @param {AuditEntry} entry
 * @param {Record<string, string>} names
 */
function row({ id, action, actor_id: actor, actor_role: role, subject_id: subject, detail, address, created_at: at }, names) {
  const who = actor ? ["by ", person(`actor-${id}`, actor, names[actor]), role && role !== "user" && ` (${role})`] : ["anonymous"];
  return stackedRow({ "data-entry": id },
    stackedCell("named", el("code", {}, action)),
    stackedCell("named", who, subject && subject !== actor && [" about ", person(`subject-${id}`, subject)],
      detail && el("span", { class: "exact muted small" }, detail)),
    stackedCell("muted", since(at), el("span", { class: "exact small" }, whenExactly(at))),
    stackedCell("muted named", address ?? ""));
}
