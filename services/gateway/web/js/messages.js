// User-facing messages for errors: selected by the problem's code, never the API's own text.

const AGAIN = "Try again in a moment.";
const GONE = "It no longer exists. Reload the page.";

/** @type {Record<string, string>} */
const BY_CODE = {
  invalid_input: "Something here cannot be accepted. Check what you have entered.",
  bad_request: "The server could not read this. Reload the page, then try again.",
  unauthenticated: "Please sign in again.",
  invalid_access_token: "Your session has ended. Please sign in again.",
  invalid_refresh_token: "Your session has ended. Please sign in again.",
  invalid_credentials: "The e-mail address or the password is wrong.",
  forbidden: "This account is not allowed to do that.",
  foreign_page: "Another website sent this. It has been refused.",
  insufficient_scope: "This API key is not allowed to do that.",
  session_required: "An API key cannot do that. Please sign in.",
  account_required: "This is only for accounts of this system.",
  account_suspended: "This account is suspended. Ask the people who run this system.",

  not_found: GONE,
  user_not_found: "This account does not exist any more.",
  avatar_not_found: "There is no picture.",
  order_not_found: "This order does not exist any more. Reload the page.",
  notification_not_found: "This notification does not exist any more. Reload the page.",
  report_not_found: "This report does not exist any more. Make a new one.",
  import_not_found: "This import does not exist any more. Reload the page.",
  unsubscribe_key_unknown: "This unsubscribe link is not valid. Choose your mails in the notification settings.",
  webhook_not_found: "This webhook does not exist any more. Reload the page.",
  session_not_found: "This session has ended already.",
  api_key_not_found: "This API key does not exist any more. Reload the page.",
  delivery_not_found: "This delivery is no longer stored. Reload the page.",
  job_not_found: "This job is no longer stored. Reload the page.",
  schedule_not_found: "This schedule does not exist any more. Reload the page.",

  identity_not_found: "This sign-in has been removed already. Reload the page.",
  identity_provider_not_found: "This way to sign in does not exist any more. Reload the page.",
  identity_provider_unavailable: `Signing in this way is not possible right now. ${AGAIN}`,
  already_linked: "This sign-in belongs to another account already.",
  too_many_identities: "You have reached the maximum number of ways to sign in. Remove one first.",
  recent_sign_in_required: "Confirm first that it is you: sign in again.",
  last_sign_in_method: "This is the only way to sign in to your account. Set a password first.",
  invalid_link: "The link is not valid any more: it has been used, or it has expired.",
  link_expired: "Too much time has passed. Start again with the sign-in.",
  link_not_wanted: "The link is not needed any more.",
  already_verified: "Your e-mail address is confirmed already.",

  conflict: "It has changed meanwhile. Reload the page, then try again.",
  email_already_used: "An account with this e-mail address exists already.",
  wrong_state: "The order has changed meanwhile, and this cannot be done any more.",
  request_in_flight: "Your order is still being placed. Wait a moment.",
  idempotency_key_reused: "This order has changed while it was being placed. Place it again.",
  import_ended: "This import has ended already.",
  too_many_imports: "Too many of your imports are pending. Wait until one has ended.",
  too_many_webhooks: "You have reached the maximum number of webhooks. Remove one first.",
  too_many_api_keys: "You have reached the maximum number of API keys. Delete one first.",
  webhook_turned_off: "This webhook is disabled.",
  call_under_way: "This delivery is in progress.",
  pings_waiting: "An earlier test of this webhook has not been sent yet.",

  job_running: "This job is running. Wait until the attempt has ended, then try again.",
  job_finished: "This cannot be done with this job any more. Reload the page.",

  no_reset_of_suspended: "A suspended account gets no link for a new password. Unsuspend it first.",
  own_account: "You cannot suspend your own account.",
  wrong_password: "This is not your current password.",
  weak_password: "This password is too easy to guess. Choose a longer or less common one.",
  unmailable_address: "No mail can be sent to this address. Use another one.",
  unusable_picture: "This picture cannot be used. Choose a PNG, JPEG or WebP file.",
  unsupported_media_type: "This kind of file cannot be used.",
  content_too_large: "This is too large.",
  body_too_slow: "Sending took too long. Check your connection, then try again.",

  rate_limited: "Too many attempts.",
  too_many_mails: "A mail has been sent to this address already. Look for it, also in the spam folder.",
  too_many_logins: "Too many people are signing in right now.",
  too_many_streams: "This page is open in too many browsers. Close it in some of them.",
  too_many_downloads: "Your other downloads are still running. Wait until one has finished.",
  too_many_uploads: "Your other files are still being uploaded. Wait until one has finished.",
  too_many_pictures: "Your last picture is still being processed.",
  uploads_busy: `Too many files are on their way. ${AGAIN}`,
  downloads_busy: `Too many downloads are running. ${AGAIN}`,
  exports_busy: `Too many downloads are running. ${AGAIN}`,

  unavailable: `This is not available right now. ${AGAIN}`,
  service_unavailable: `This is not available right now. Nothing has been changed. ${AGAIN}`,
  keys_unavailable: `This is not available right now. ${AGAIN}`,
  storage_unavailable: `Files cannot be stored or read right now. ${AGAIN}`,
  page_unknown: "No mails with links can be sent right now. Ask the people who run this system.",
  audit_unavailable: "Operator actions must be recorded, which is not possible right now. Nothing has been changed.",
  no_panel_available: `Nothing can be shown right now. ${AGAIN}`,
  overloaded: `Too many people are using this right now. ${AGAIN}`,
  method_not_allowed: "This is not possible here. Reload the page.",
  outcome_unknown: "The server did not respond in time. The request may have been executed: check before you try again.",
  internal: "Something went wrong on our side.",
  unreachable: "The server cannot be reached. Check your connection, then try again.",
};

/**
 * What a field accepts, by the last part of its name.
 * @type {Record<string, string>}
 */
const BY_FIELD = {
  name: "Enter a name with visible characters.",
  email: "Enter an address such as name@example.com.",
  password: "Use 8 to 128 characters.",
  current_password: "Enter your current password.",
  sku: "Enter at most 64 characters.",
  quantity: "Enter 1 to 10,000.",
  unit_price: "This price cannot be accepted.",
  currency: "Choose a currency.",
  from: "Choose a day. It must not be after the last day.",
  to: "Choose a day within a year of the first day.",
  url: "Enter an address on the public internet, such as https://example.com/hooks.",
  events: "Choose at least one event.",
  user_id: "Enter the complete id of a user.",
  actor_id: "Enter the complete id of an account.",
  subject_id: "Enter the complete id of an account.",
  event_type: "Enter the complete name of a type, such as order.paid.",
  reason: "Enter at most 500 characters.",
  scopes: "Choose at least one that your account may use.",
  expires_at: "Choose a time in the future.",
  file: "Choose a CSV file. The example file shows its columns.",
};
const OF_ITS_FIELD = new Set(["invalid_link", "wrong_password", "weak_password", "unmailable_address", "unusable_picture"]);

/**
 * A sentence for `code`, or for the status if the code is unknown. `againInS`: when to retry, if known.
 * @param {string} code
 * @param {number} status
 * @param {number | null} againInS
 */
export function wordsFor(code, status = 0, againInS = null) {
  const said = BY_CODE[code] ?? byStatus(status);
  return status === 429 && againInS ? `${said} Try again ${inTime(againInS)}.` : said;
}

/** @param {string} code */
export const hasWordsFor = (code) => code in BY_CODE;

/**
 * Why a sign-in with a provider has failed, by the `error` in the address to which it returns.
 * @type {Record<string, string>}
 */
const BY_SIGN_IN = {
  refused: "You have not been signed in: the sign-in was cancelled or refused there.",
  unavailable: `Signing in this way is not possible right now. ${AGAIN}`,
  expired: "The sign-in took too long, or was started in another browser. Start again.",
  invalid: "The answer to your sign-in cannot be trusted. Start again, and if it happens again, tell the people who run this system.",
  address_taken: "An account with this e-mail address exists already. Sign in to it as before; you can then add the other way to sign in to your account.",
  address_missing: "No e-mail address was shared, which an account needs. Allow it at the sign-in, or create an account here.",
  address_unverified: "Your e-mail address is not confirmed there. Confirm it there and try again, or create an account here.",
  already_linked: BY_CODE.already_linked,
  too_many_identities: BY_CODE.too_many_identities,
  other_person: "You have signed in as somebody else there. Use the sign-in that belongs to your account.",
  not_confirmed: "You were not asked to sign in again there, so it is not confirmed that it is you. Sign out there, then try again.",
  suspended: BY_CODE.account_suspended,
};

/**
 * @param {string} code
 * @returns {string} Why a sign-in with a provider has failed.
 */
export const wordsForSignIn = (code) => BY_SIGN_IN[code] ?? "You have not been signed in. Try again.";

/**
 * Why a field of a rejected request is invalid.
 * @param {string} code
 * @param {string} field
 */
export const wordsForField = (code, field) => (OF_ITS_FIELD.has(code) ? BY_CODE[code] : BY_FIELD[field.split(".").at(-1) ?? ""] ?? "This cannot be accepted.");

/** @typedef {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} Input */

/**
 * Why the value of an input is invalid.
 * @param {Input} input
 */
export function wordsForInput(input) {
  const { validity, validationMessage, type, name, minLength, maxLength, min, max } = /** @type {HTMLInputElement} */ (input);
  if (validity.valueMissing) return type === "date" ? "Choose a day." : "Fill in this field.";
  if (validity.customError) return validationMessage;
  if (validity.tooShort) return `Use at least ${minLength} characters.`;
  if (validity.tooLong) return `Use at most ${maxLength} characters.`;
  if (type === "datetime-local") return "Enter a date and a time.";
  if (type === "number") return `Enter ${Number(min).toLocaleString("en")} to ${Number(max).toLocaleString("en")}.`;
  return BY_FIELD[name] ?? "This cannot be accepted.";
}

/** @param {number} status */
function byStatus(status) {
  if (status === 0) return BY_CODE.unreachable;
  if (status === 429) return BY_CODE.rate_limited;
  if (status === 502 || status === 503) return BY_CODE.unavailable;
  if (status === 504) return BY_CODE.outcome_unknown;
  return status >= 500 ? BY_CODE.internal : "The server did not accept this. Reload the page, then try again.";
}

/** @param {number} seconds */
function inTime(seconds) {
  if (seconds < 60) return seconds === 1 ? "in a second" : `in ${seconds} seconds`;
  const minutes = Math.ceil(seconds / 60);
  if (minutes < 100) return minutes === 1 ? "in a minute" : `in ${minutes} minutes`;
  return `in ${Math.round(minutes / 60)} hours`;
}
