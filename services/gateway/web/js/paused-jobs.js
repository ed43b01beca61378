// Which jobs are paused, by whom and since when; pausing and resuming them.
import { get, post } from "./api.js";
import { busy, confirmed, el, toast } from "./dom.js";
import { chip, namesOf } from "./job-parts.js";
import { since } from "./times.js";

/** @typedef {{by: string, at: string}} Paused */

/**
 * The paused jobs by name, each with the operator's name and the time.
 * @param {AbortSignal} signal
 * @returns {Promise<Map<string, Paused>>}
 */
export async function pausedJobs(signal) {
  /** @type {{items: {job: string, actor: string, paused_at: string}[]}} */
  const { items } = await get("/v1/admin/jobs/paused", { signal });
  const names = await namesOf(items.map(({ actor }) => actor));
  return new Map(items.map(({ job, actor, paused_at: at }) => [job, { by: names[actor], at }]));
}

/**
 * Marks a paused job; nothing if it is not paused.
 * @param {Paused | undefined} paused
 */
export const pausedMark = (paused) => paused && el("span", {}, chip("warn", "Paused"), " ",
  el("span", { class: "muted small" }, `by ${paused.by}, `, since(paused.at)));

/**
 * Pauses or resumes a job; `changed` is called afterwards.
 * @param {string} job
 * @param {Paused | undefined} paused
 * @param {() => void} changed
 */
export const pauseButton = (job, paused, changed) => el("button", {
  class: "button small", type: "button", "data-key": `pause-${job}`, "aria-label": `${paused ? "Resume" : "Pause"} ${job}`,
  onclick: (event) => busy(event.currentTarget, () => (paused ? resume : pause)(job, changed)),
}, paused ? "Resume" : "Pause");

/**
 * @param {string} job
 * @param {() => void} changed
 */
async function pause(job, changed) {
  const text = "No further attempt starts until the job is resumed. Its messages are kept.";
  if (!(await confirmed(`Pause ${job}?`, text, "Pause", "Not now"))) return;
  await post(`/v1/admin/jobs/${job}/pause`).finally(changed);
  toast(`${job} is paused.`);
}

/**
 * @param {string} job
 * @param {() => void} changed
 */
async function resume(job, changed) {
  await post(`/v1/admin/jobs/${job}/resume`).finally(changed);
  toast(`${job} runs again.`);
}
