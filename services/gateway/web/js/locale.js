/** The page is in English, also in dates: in the user's preferred variant. */
export const LOCALE = navigator.languages.find((tag) => /^en\b/i.test(tag)) ?? "en-GB";
