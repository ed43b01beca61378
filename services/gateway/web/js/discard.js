// The dialog that discards dead jobs.
import { post } from "./api.js";
import { el, openDialog, toast } from "./dom.js";
import { field, form } from "./forms.js";
import { plural } from "./format.js";

/**
 * Asks for the reason, and discards the `number` jobs of a selection; `changed` is called afterwards.
 * @param {JobSelection} selection
 * @param {number} number
 * @param {() => void} changed
 */
export function openDiscard(selection, number, changed) {
  openDialog(`Discard ${plural(number, "job")}`, (close) => form(
    [
      el("p", { class: "muted" }, "Discarded jobs are not tried again. They are kept, and can be replayed later."),
      field("Reason", "reason", { required: true, maxlength: 500 }, "It is kept in the audit log."),
    ],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Not now"),
      el("button", { class: "button danger", type: "submit" }, "Discard")),
    async (data) => {
      const { discarded } = await post("/v1/admin/jobs/discard", { ...selection, reason: data.get("reason") });
      close();
      toast(`${plural(discarded, "job")} discarded.`);
      changed();
    }));
}
