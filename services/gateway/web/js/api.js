// Calls the gateway. Every failure is a `Problem` that can be shown.
import { parse } from "./json.js";
import { wordsFor, wordsForField } from "./messages.js";
import * as session from "./session.js";

export class Problem extends Error {
  /**
   * @param {number} status 0 if the server cannot be reached
   * @param {{code?: string, trace_id?: string, errors?: {field: string}[]}} body
   * @param {number | null} againInS
   */
  constructor(status, body = {}, againInS = null) {
    const code = body.code ?? "";
    const words = wordsFor(code, status, againInS);
    super(code === "internal" && body.trace_id ? `${words} If it happens again, report this number: ${body.trace_id}` : words);
    this.status = status;
    this.code = code;
    this.againInS = againInS;
    /**
     * The error of each invalid field: `{"items.0.quantity": "…"}`.
     * @type {Record<string, string>}
     */
    this.fields = Object.fromEntries((body.errors ?? []).map(({ field }) => [field, wordsForField(code, field)]));
  }

  /** Whether the same request may succeed soon. It may also have been executed. */
  get isTemporary() {
    return [0, 502, 503, 504].includes(this.status) || this.code === "request_in_flight";
  }

  /**
   * An input that this page rejects itself.
   * @param {string} field
   * @param {string} words
   */
  static ofField(field, words) {
    const problem = new Problem(422);
    problem.fields = { [field]: words };
    return problem;
  }

  /** @param {Response} response */
  static async of(response) {
    const isProblem = response.headers.get("Content-Type")?.includes("json");
    const told = response.headers.get("Retry-After");
    const againInS = told === null ? null : Number(told) || 0;
    return new Problem(response.status, isProblem ? await response.json().catch(() => ({})) : {}, againInS);
  }
}

const AWAY = new Problem(0);

/** @typedef {{json?: unknown, body?: BodyInit, headers?: Record<string, string>, signal?: AbortSignal}} Options */

/**
 * The response of an authenticated call; raises a `Problem`. A rejected token is renewed once.
 * @param {string} method
 * @param {string} path
 * @param {Options} options
 */
export async function call(method, path, { json, body, headers = {}, signal } = {}) {
  const used = session.accessToken();
  headers = { ...headers, traceparent: newTrace() };
  const response = await send(used, method, path, { json, body, headers, signal });
  if (response.status !== 401) return checked(response);
  if (!(await renewed(used))) throw await Problem.of(response);
  return checked(await send(session.accessToken(), method, path, { json, body, headers, signal }));
}

/**
 * @param {string | null} token
 * @param {string} method
 * @param {string} path
 * @param {Options} options
 */
async function send(token, method, path, { json, body, headers, signal }) {
  /** @type {Record<string, string>} */
  const told = { ...headers };
  if (token) told.Authorization = `Bearer ${token}`;
  if (json !== undefined) {
    told["Content-Type"] = "application/json";
    body = JSON.stringify(json);
  }
  try {
    return await fetch(path, { method, headers: told, body, signal });
  } catch (failure) {
    throw failure instanceof DOMException && failure.name === "AbortError" ? failure : AWAY;
  }
}

/**
 * Uploads a form and returns the response, as `call` does. `progress(part)` is called with the part that has been sent, from 0 to 1;
 * `signal` stops the upload, which raises its reason. `fetch` cannot tell how much it has sent.
 * @param {string} path
 * @param {FormData} form
 * @param {{progress?: (part: number) => void, signal?: AbortSignal}} options
 */
export async function upload(path, form, { progress = () => {}, signal } = {}) {
  const used = session.accessToken();
  const response = await sendForm(used, path, form, progress, signal);
  if (response.status !== 401) return checked(response);
  if (!(await renewed(used))) throw await Problem.of(response);
  return checked(await sendForm(session.accessToken(), path, form, progress, signal));
}

/**
 * @param {string | null} token
 * @param {string} path
 * @param {FormData} form
 * @param {(part: number) => void} progress
 * @param {AbortSignal} [signal]
 * @returns {Promise<Response>}
 */
function sendForm(token, path, form, progress, signal) {
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    if (token) request.setRequestHeader("Authorization", `Bearer ${token}`);
    request.setRequestHeader("traceparent", newTrace());
    request.upload.onprogress = ({ lengthComputable, loaded, total }) => { if (lengthComputable) progress(loaded / total); };
    request.onload = () => done(responseOf(request));
    request.onerror = () => fail(AWAY);
    request.onabort = () => fail(signal?.reason ?? AWAY);
    signal?.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** @param {XMLHttpRequest} request */
function responseOf(request) {
  const headers = new Headers();
  for (const name of ["Content-Type", "Retry-After"]) {
    const value = request.getResponseHeader(name);
    if (value !== null) headers.set(name, value);
  }
  return new Response(request.responseText, { status: request.status, headers });
}

/** @param {string | null} used */
async function renewed(used) {
  try {
    return await session.renew(used);
  } catch {
    throw AWAY;
  }
}

/** @param {Response} response */
async function checked(response) {
  if (!response.ok) throw await Problem.of(response);
  return response;
}

/**
 * @param {string} path
 * @param {Options} [options]
 * @returns {Promise<any>} The JSON of the response.
 */
export const get = async (path, options) => parse(await (await call("GET", path, options)).text());

/**
 * @param {string} path
 * @param {unknown} [json]
 * @param {Record<string, string>} [headers]
 * @returns {Promise<any>} The JSON of the response, or null if it has none.
 */
export async function post(path, json, headers) {
  const response = await call("POST", path, { json, headers });
  return response.status === 204 ? null : response.json();
}

const ATTEMPTS = 6;

/**
 * The response of a POST that takes effect once per key, however often it is sent: it is repeated until the server
 * responds. `isWanted` says whether to continue; `waiting` is called before each repetition.
 * @param {string} path
 * @param {unknown} json
 * @param {string} key
 * @param {{isWanted?: () => boolean, waiting?: () => void}} options
 */
export async function postOnce(path, json, key, { isWanted = () => true, waiting = () => {} } = {}) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await post(path, json, { "Idempotency-Key": key });
    } catch (problem) {
      if (!(problem instanceof Problem) || !problem.isTemporary || attempt === ATTEMPTS || !isWanted()) throw problem;
      waiting();
      await new Promise((done) => setTimeout(done, 1000 * (problem.againInS ?? 2 ** (attempt - 1))));
      if (!isWanted()) throw problem;
    }
  }
}

/**
 * A response that means: this gateway does not have the feature.
 * @param {unknown} problem
 */
export const isMissing = (problem) => problem instanceof Problem && [404, 405].includes(problem.status);

/** For headers and keys; `crypto.randomUUID` is missing on plain HTTP. */
export const newKey = () => randomHex(16);

/** A trace that begins here (W3C): the gateway decides whether it is recorded. A repeated call stays in it. */
const newTrace = () => `00-${randomHex(16)}-${randomHex(8)}-00`;

/** @param {number} bytes */
function randomHex(bytes) {
  return [...crypto.getRandomValues(new Uint8Array(bytes))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
