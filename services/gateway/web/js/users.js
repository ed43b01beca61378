// The accounts, and the form that searches them.
import { el } from "./dom.js";
import { field } from "./forms.js";
import { plural } from "./format.js";
import { userAddress, usersAddress } from "./job-addresses.js";
import { chip, stackedCell, stackedRow, stackedTable } from "./job-parts.js";
import { Search } from "./search.js";
import { since } from "./times.js";

/** @type {[string][]} */
const TITLES = [["Account"], ["Id"], ["State"], ["Registered"]];

/** @extends {Search<Account>} */
export class Users extends Search {
  /** @param {Element} place */
  constructor(place) {
    super(place, {
      title: "Users",
      path: "/v1/users",
      filters: ["q"],
      address: ({ q }) => usersAddress(q),
      fields: field("Address or id", "q", { type: "search", maxlength: 254, autocomplete: "off", spellcheck: "false" }, "The beginning of an e-mail address, or a complete id."),
      note: (all, isMore) => [`${isMore ? "The newest " : ""}${plural(all.length, "account")}.`],
      table: (all) => stackedTable(TITLES, all.map(row)),
      none: "No account matches.",
    });
  }
}

/**
 * The chips of an account's role and state.
 * @param {Account} account
 */
export const accountChips = ({ role, email_verified: isVerified, suspended_at: suspendedAt }) => el("span", { class: "chips" },
  suspendedAt ? chip("bad", "Suspended") : isVerified ? chip("good", "Active") : chip("warn", "Not verified"),
  role !== "user" && chip("info", role === "admin" ? "Administrator" : "Support"));

/** @param {Account} user */
const row = (user) => stackedRow({ "data-user": user.id },
  stackedCell("named", el("a", { href: userAddress(user.id), "data-key": `user-${user.id}` }, user.email), el("span", { class: "exact muted small" }, user.name)),
  stackedCell("named mono small", user.id),
  stackedCell(null, accountChips(user)),
  stackedCell("muted", since(user.created_at)));
