/** The page speaks English, also in dates: in the variant that the person prefers. */
export const LOCALE = navigator.languages.find((tag) => /^en\b/i.test(tag)) ?? "en-GB";
