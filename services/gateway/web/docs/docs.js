// Starts Swagger UI, and adds the names and roles that screen readers need. Credentials stay in memory: they are gone when the
// page is reloaded.
const place = document.getElementById("reference");

/** A link in the button of an operation, which opens the same: a text instead, because nothing in a button can have the focus. */
const TextsInButtons = () => ({
  wrapComponents: {
    DeepLink: (_, { React }) => ({ text }) => React.createElement("span", { className: "nostyle" }, text),
  },
});

/** The names of controls and regions without one, by selector. */
const NAMES = {
  ".close-modal": () => "Close",
  ".examples-select-element": () => "Example",
  "textarea.body-param__text": () => "Request body",
  ".content-type": () => "Content type",
  "[data-param-name] select": (select) => select.closest("[data-param-name]").dataset.paramName,
  ".responses-table[role=region]": (table) => `Responses of ${table.closest(".opblock").querySelector(".opblock-summary-path").textContent}`,
  ".live-responses-table[role=region]": (table) => `Response of ${table.closest(".opblock").querySelector(".opblock-summary-path").textContent}`,
};

/** The roles of what is beside the list of operations, which is the main content, by selector. */
const LANDMARKS = {
  ".information-container": { role: "region", "aria-label": "About this API" },
  ".filter-container": { role: "search", "aria-label": "Operations" },
  ".modal-ux": { role: "dialog", "aria-modal": "true", "aria-label": "Credentials" },
};

function improve() {
  for (const [selector, name] of Object.entries(NAMES)) {
    for (const each of place.querySelectorAll(`${selector}:not([aria-label])`)) each.setAttribute("aria-label", name(each));
  }
  for (const [selector, attributes] of Object.entries(LANDMARKS)) {
    for (const each of place.querySelectorAll(`${selector}:not([role])`)) {
      for (const [name, value] of Object.entries(attributes)) each.setAttribute(name, value);
    }
  }
  // The title has the first level, and the groups of operations the third.
  for (const each of place.querySelectorAll(":is(h3, h4, h5, h6):not([aria-level])")) each.setAttribute("aria-level", Number(each.localName[1]) - 1);
}

let isWaiting = false;
new MutationObserver(() => {
  if (isWaiting) return;
  isWaiting = true;
  requestAnimationFrame(() => {
    isWaiting = false;
    improve();
  });
}).observe(place, { childList: true, subtree: true });

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  docExpansion: "list",
  filter: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  plugins: [TextsInButtons],
  validatorUrl: null, // nothing is sent to another site
});
