"""A stand-in for a service: answers /readyz, returns its environment, and exits on request."""

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/die":
            os._exit(3)
        body = json.dumps({"environment": dict(os.environ)}).encode()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


if __name__ == "__main__":
    port = int(os.environ[f"{sys.argv[1].upper()}_PORT"])
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
