// The module that the gateway makes from the panels file (`_offered` in services/gateway/api/page.py).
export const OPERATIONS: Set<string>;
export const PANELS: { name: string; title: string; kind: "object" | "list"; protocol: "batch" | "rest" }[];
export const DEVELOPMENT: boolean;
