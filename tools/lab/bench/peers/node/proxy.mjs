// Fastify with undici as a reverse proxy: bodies are streamed in both directions.   node proxy.mjs PORT BACKEND
//
// Tuned: no logger; one undici Pool with keep-alive; `pool.stream` writes straight to the response, which costs less
// than a stream that Fastify sends. Hop-by-hop headers are dropped. No authentication.
import Fastify from "fastify";
import { Pool } from "undici";

const [port, backend] = process.argv.slice(2);
const pool = new Pool(backend, { connections: 256, pipelining: 1, headersTimeout: 2000, bodyTimeout: 2000 });
const HOP_BY_HOP = new Set(["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host"]);

function endToEnd(headers) {
  const kept = {};
  for (const name in headers) {
    if (!HOP_BY_HOP.has(name)) kept[name] = headers[name];
  }
  return kept;
}

function proxy(request, reply) {
  const { raw } = request;
  const body = "content-length" in raw.headers || "transfer-encoding" in raw.headers ? raw : null;
  reply.hijack();
  pool.stream(
    { method: raw.method, path: raw.url, headers: endToEnd(raw.headers), body },
    ({ statusCode, headers }) => reply.raw.writeHead(statusCode, endToEnd(headers)),
    (error) => {
      if (!error) return;
      if (reply.raw.headersSent) reply.raw.destroy();
      else reply.raw.writeHead(502).end();
    },
  );
}

const app = Fastify({ logger: false });
app.removeAllContentTypeParsers();
app.addContentTypeParser("*", (request, payload, done) => done(null));
app.all("/*", proxy);
await app.listen({ port: Number(port), host: "127.0.0.1" });
