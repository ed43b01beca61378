// The page of one's own account, in sections; each exists if the gateway offers its operation.
import { el } from "./dom.js";
import { apiKeysSection } from "./api-keys.js";
import { deletionSection, exportSection } from "./account-data.js";
import { passwordSection, profileSection } from "./account-profile.js";
import { sessionsSection } from "./account-sessions.js";
import { offers } from "./features.js";
import { notificationSettingsSection } from "./notification-settings.js";
import { identitiesSection } from "./providers.js";

/** @import { Home } from "./home.js" */
/** @import { Profile } from "./me.js" */

/**
 * The operation that each section needs, in their order. `home` has the account and the panels.
 * @type {[string, (home: Home) => HTMLElement][]}
 */
const SECTIONS = [
  ["GET /v1/me", (home) => profileSection(home)],
  ["PATCH /v1/me", (home) => passwordSection(home)],
  ["GET /v1/me/sessions", (home) => sessionsSection(home)],
  ["GET /v1/me/identities", ({ me }) => identitiesSection(async () => /** @type {Profile} */ (me.value ?? await me.reload()).has_password)],
  ["GET /v1/me/api-keys", (home) => apiKeysSection(home)],
  ["GET /v1/me/notification-settings", () => notificationSettingsSection()],
  ["GET /v1/me", (home) => exportSection(home)],
  ["DELETE /v1/me", (home) => deletionSection(home)],
];

/** @type {import("./router.js").View} */
export const accountView = {
  title: "Your account",
  access: "signed-in",
  open(place, { home }) {
    home.me.refresh();
    place.replaceChildren(el("div", { class: "account-page" },
      el("p", { class: "small" }, el("a", { href: "#/" }, "Back to your dashboard")),
      el("h1", {}, "Your account"),
      ...SECTIONS.filter(([operation]) => offers(operation)).map(([, section]) => section(home))));
  },
};
