// Follows `/v1/dashboard/events`. `EventSource` cannot send the token, so this reads the stream itself.
import { Problem } from "./api.js";
import { parse } from "./json.js";
import * as session from "./session.js";

const PATH = "/v1/dashboard/events";
const SILENCE_MS = 45_000; // the gateway sends something every 15 s
const LONGEST_WAIT_MS = 20_000;

/** Takes text as it arrives, and yields the fields of each complete event by name: `event`, `data`, `id`, `retry`. */
export class Parser {
  #rest = "";

  /**
   * @param {string} text
   * @returns {Generator<Record<string, string>>}
   */
  *feed(text) {
    const blocks = (this.#rest + text).split("\n\n");
    this.#rest = blocks.pop() ?? "";
    for (const block of blocks) {
      /** @type {Record<string, string>} */
      const fields = {};
      for (const line of block.split("\n")) {
        if (line.startsWith(":")) continue;
        const [, name = "", value = ""] = /^([^:]*):? ?(.*)$/s.exec(line) ?? [];
        fields[name] = name === "data" && "data" in fields ? `${fields.data}\n${value}` : value;
      }
      yield fields;
    }
  }
}

/**
 * One connection to the gateway, which is opened again whenever it ends, until `stop`. `tell(name, detail, id)` receives
 * the events: those of the gateway (`panel`, `import`, `ready`; `id` is for `Last-Event-ID`), `reloaded` if its panels have
 * changed, `signed-out` if the session has ended there, and `state` (`{state, again_at}`, where the state is `live`, `paused` or `away`).
 */
export class Connection {
  #tell;
  #lastId;
  #retryMs = 1000;
  #failures = 0;
  #ending = new AbortController();
  #wake = () => {};
  #abort = new AbortController();

  /**
   * @param {string | null} lastId the events up to this one are known
   * @param {(name: string, detail: any, id?: string) => void} tell
   */
  constructor(lastId, tell) {
    this.#lastId = lastId;
    this.#tell = tell;
  }

  start() {
    const { signal } = this.#ending;
    addEventListener("offline", () => this.#abort.abort(), { signal });
    addEventListener("online", () => this.#wake(), { signal });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.#wake(); }, { signal });
    this.#run();
  }

  stop() {
    this.#ending.abort();
    this.#abort.abort();
    this.#wake();
  }

  async #run() {
    while (!this.#ending.signal.aborted) {
      try {
        await this.#follow();
      } catch (failure) {
        if (this.#ending.signal.aborted) return;
        this.#failures++;
        if (failure instanceof Problem && failure.status === 429) this.#failures = Math.max(this.#failures, 4);
      }
      if (!this.#ending.signal.aborted) await this.#pause();
    }
  }

  async #pause() {
    const wait = this.#failures ? Math.min(this.#retryMs * 2 ** (this.#failures - 1), LONGEST_WAIT_MS) : 250;
    this.#state("away", { again_at: Date.now() + wait });
    await new Promise((done) => { this.#wake = () => done(null); setTimeout(done, wait * (0.75 + Math.random() / 2)); });
  }

  async #follow() {
    const token = session.accessToken();
    this.#abort = new AbortController();
    const response = await fetch(PATH, { headers: this.#headers(token), signal: this.#abort.signal, cache: "no-store" });
    if (response.status === 401) return void (await session.renew(token));
    if (!response.ok) throw await Problem.of(response);
    this.#failures = 0;
    this.#state("live");
    if (response.body) await this.#read(response.body.pipeThrough(new TextDecoderStream()).getReader(), token);
  }

  /** @param {string | null} token */
  #headers(token) {
    const headers = { Authorization: `Bearer ${token}`, Accept: "text/event-stream" };
    return this.#lastId ? { ...headers, "Last-Event-ID": this.#lastId } : headers;
  }

  /**
   * @param {ReadableStreamDefaultReader<string>} reader
   * @param {string | null} token
   */
  async #read(reader, token) {
    const parser = new Parser();
    let watch = 0;
    try {
      for (;;) {
        clearTimeout(watch);
        watch = setTimeout(() => this.#abort.abort(), SILENCE_MS);
        const { done, value } = await reader.read();
        if (done) return;
        for (const fields of parser.feed(value)) await this.#take(fields, token);
      }
    } finally {
      clearTimeout(watch);
    }
  }

  /**
   * @param {Record<string, string>} fields
   * @param {string | null} token
   */
  async #take({ event, data = "", id, retry }, token) {
    if (retry) this.#retryMs = Number(retry);
    if (id) this.#lastId = id;
    if (!event) return;
    const detail = parse(data);
    if (event === "feed") this.#state(detail.live ? "live" : "paused");
    else if (event === "end") await this.#ended(detail.reason, token);
    else this.#tell(event, detail, id);
  }

  /**
   * @param {string} reason
   * @param {string | null} token
   */
  async #ended(reason, token) {
    if (reason === "reloaded") this.#tell("reloaded", null);
    if (["session_ended", "user_gone"].includes(reason)) this.#tell("signed-out", null);
    if (["token_expired", "session_ended", "user_gone"].includes(reason)) await session.renew(token);
  }

  /**
   * @param {string} state
   * @param {{again_at?: number}} more
   */
  #state(state, more = {}) {
    if (!this.#ending.signal.aborted) this.#tell("state", { state, ...more });
  }
}
