// Calls the gateway. Whatever goes wrong is a `Problem` that can be shown.
import { parse } from "./json.js";
import * as session from "./session.js";

export class Problem extends Error {
  constructor(status, body = {}) {
    const said = body.detail || body.title || `The server answered ${status}.`;
    super(status >= 500 && body.trace_id ? `${said} (Trace ${body.trace_id})` : said);
    this.status = status;
    this.code = body.code ?? "";
    /** What is wrong with which field: `{email: "…"}`. */
    this.fields = Object.fromEntries((body.errors ?? []).map(({ field, message }) => [field, message]));
  }

  static async of(response) {
    const isProblem = response.headers.get("Content-Type")?.includes("json");
    return new Problem(response.status, isProblem ? await response.json().catch(() => ({})) : {});
  }
}

const AWAY = new Problem(0, { detail: "The server cannot be reached. Check your connection, then try again." });

/** The response of an authenticated call; raises a `Problem`. A token that does not count is renewed once. */
export async function call(method, path, { json, body, headers = {}, signal } = {}) {
  const used = session.accessToken();
  headers = { ...headers, traceparent: newTrace() };
  const response = await send(used, method, path, { json, body, headers, signal });
  if (response.status !== 401) return checked(response);
  if (!(await renewed(used))) throw await Problem.of(response);
  return checked(await send(session.accessToken(), method, path, { json, body, headers, signal }));
}

async function send(token, method, path, { json, body, headers, signal }) {
  const told = { ...headers };
  if (token) told.Authorization = `Bearer ${token}`;
  if (json !== undefined) {
    told["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  try {
    return await fetch(path, { method, headers: told, body, signal });
  } catch (failure) {
    throw failure.name === "AbortError" ? failure : AWAY;
  }
}

async function renewed(used) {
  try {
    return await session.renew(used);
  } catch {
    throw AWAY;
  }
}

async function checked(response) {
  if (!response.ok) throw await Problem.of(response);
  return response;
}

export const get = async (path, options) => parse(await (await call("GET", path, options)).text());

export async function post(path, json, headers) {
  const response = await call("POST", path, { json, headers });
  return response.status === 204 ? null : response.json();
}

/** An answer that means: this gateway has no such thing. */
export const isMissing = (problem) => problem instanceof Problem && [404, 405].includes(problem.status);

/** For headers and keys; `crypto.randomUUID` is missing on plain HTTP. */
export const newKey = () => randomHex(16);

/** A trace that begins here (W3C): whether it is recorded, the gateway decides. A call that is repeated stays in it. */
const newTrace = () => `00-${randomHex(16)}-${randomHex(8)}-00`;

function randomHex(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
