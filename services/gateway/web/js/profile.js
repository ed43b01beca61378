// The profile: the card, the picture, and the menu in the corner.
import { call, get, Problem } from "./api.js";
import { personOf } from "./claims.js";
import { busy, complain, el, openDialog, replace, toast } from "./dom.js";
import { field, form } from "./forms.js";
import { initials, onDate } from "./format.js";
import { hasPanel, offers } from "./features.js";
import { panelCard } from "./panels.js";
import * as session from "./session.js";

const pictures = new Map();

/** A picture as an object URL, fetched once: the request needs the token, which an `<img>` cannot send. */
function picture(url, size) {
  const at = new URL(url, location.origin);
  at.searchParams.set("size", String(size));
  const key = at.pathname + at.search;
  if (!pictures.has(key)) {
    pictures.set(key, call("GET", key).then((response) => response.blob()).then((blob) => URL.createObjectURL(blob)));
    pictures.get(key).catch(() => pictures.delete(key));
  }
  return pictures.get(key);
}

export function avatar(user, size) {
  const place = el("span", { class: size > 40 ? "avatar large" : "avatar", "aria-hidden": "true" }, initials(user.name));
  if (user.avatar_url && offers("GET /v1/users/{id}/avatar")) {
    picture(user.avatar_url, size > 40 ? 256 : 64)
      .then((src) => place.replaceChildren(el("img", { src, alt: "" })))
      .catch(() => {}); // keep the initials
  }
  return place;
}

export function profileCard(panels) {
  return panelCard(panels, "user", "Profile", (user) => [
    el("div", { class: "profile" }, avatar(user, 72),
      el("div", { class: "text" },
        el("p", { class: "name", title: user.name }, user.name),
        el("p", { class: "muted", title: user.email }, user.email),
        el("p", { class: "muted small" }, `Member since ${onDate(user.created_at)}`))),
    el("div", { class: "profile-actions" },
      offers("PATCH /v1/me") && el("button", { class: "button small", type: "button", "data-key": "edit", onclick: () => edit(panels, user) }, "Edit profile"),
      offers("PUT /v1/me/avatar") && el("span", { class: "button small file-button" }, "Change picture",
        el("input", { type: "file", accept: "image/png,image/jpeg,image/webp", "aria-label": "Change picture", "data-key": "picture", onchange: (event) => upload(panels, event.target) })),
      user.avatar_url && offers("DELETE /v1/me/avatar") && el("button", { class: "button small", type: "button", "data-key": "no-picture", onclick: (event) => busy(event.currentTarget, () => remove(panels)) }, "Remove picture")),
  ]);
}

async function upload(panels, input) {
  const [file] = input.files;
  input.value = "";
  if (!file) return;
  try {
    await call("PUT", "/v1/me/avatar", { body: file, headers: { "Content-Type": file.type } });
    await panels.reload("user");
    toast("Your picture has been changed.");
  } catch (problem) {
    complain(problem);
  }
}

async function remove(panels) {
  await call("DELETE", "/v1/me/avatar");
  await panels.reload("user");
  toast("Your picture has been removed.");
}

function edit(panels, user) {
  openDialog("Edit profile", (close) => form(
    [
      field("Name", "name", { value: user.name, required: true, maxlength: 100, autocomplete: "name" }),
      field("E-mail", "email", { type: "email", value: user.email, required: true, autocomplete: "email" }),
      field("New password", "password", { type: "password", minlength: 8, maxlength: 128, autocomplete: "new-password" }, "Leave it empty to keep the current one."),
      field("Current password", "current_password", { type: "password", autocomplete: "current-password" }, "Needed for a new e-mail address or password."),
    ],
    el("div", { class: "actions" },
      el("button", { class: "button", type: "button", onclick: close }, "Cancel"),
      el("button", { class: "button primary", type: "submit" }, "Save")),
    async (data) => {
      const change = Object.fromEntries([...data].filter(([key, value]) => value !== "" && value !== user[key]));
      if (Object.keys(change).length) await call("PATCH", "/v1/me", { json: change });
      close();
      await panels.reload("user").catch(() => {}); // the stream will update it
      toast("Your profile has been saved.");
    }));
}

/** The button in the corner, and its menu. */
export function accountMenu(panels) {
  const button = el("button", { class: "who-button", type: "button", popovertarget: "account-menu", "aria-label": "Account" },
    el("span", { class: "avatar", "aria-hidden": "true" }, "…"));
  const who = el("div", { class: "who" }, "Signed in");
  const { role } = session.claims();
  const menu = el("div", { id: "account-menu", class: "menu", popover: "auto" }, who,
    ["admin", "support"].includes(role) && el("a", { href: "/ops" }, "Operations"),
    el("button", { type: "button", onclick: () => session.signOut() }, "Sign out"));
  const show = (user) => {
    replace(button, avatar(user, 36));
    replace(who, el("strong", {}, user.name), user.email && [el("br"), el("span", { class: "muted" }, user.email)]);
  };
  if (!session.HAS_ACCOUNTS) {
    const { name, email, id } = personOf(session.claims());
    if (name ?? email ?? id) show({ name: name ?? email ?? id, email: name ? email ?? id : null });
  } else if (panels && hasPanel("user")) {
    panels.addEventListener("user", () => {
      const user = panels.of("user").data;
      if (user) show(user);
    });
  } else if (offers("GET /v1/me")) nameFromServer(show);
  return el("div", {}, button, menu);
}

async function nameFromServer(show) {
  try {
    show(await get("/v1/me"));
  } catch (problem) {
    if (!(problem instanceof Problem)) throw problem;
  }
}
