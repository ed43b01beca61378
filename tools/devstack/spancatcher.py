"""A collector that accepts spans (OTLP over HTTP) and keeps the newest: `python -m tools.devstack.spancatcher`."""

import argparse
import gzip
import signal
import sys
import threading
import zlib
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Message
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tools.devstack.servers.base import Server
from tools.devstack.system.ports import accepts, free_port
from tools.devstack.system.processes import Processes
from tools.devstack.traces import Span, Traces

PATH = "/v1/traces"


class SpanCatcher(Server):
    """The collector as a server of the stack, in its own process."""

    name = "traces"

    def __init__(self, processes: Processes, traces: Path, log: Path) -> None:
        super().__init__(processes, log)
        self.traces = traces
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        argv = [sys.executable, "-m", "tools.devstack.spancatcher"]
        argv += ["--port", str(self.port), "--traces", str(self.traces)]
        self._replace(self.processes.spawn(self.name, argv, log=self.log))
        self._until(lambda: accepts(self.port))


class Catcher(ThreadingHTTPServer):
    """Stores the spans of each request."""

    daemon_threads = True

    def __init__(self, port: int, traces: Traces) -> None:
        self._traces = traces
        self._one_at_a_time = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def take(self, body: bytes) -> None:
        """Store the spans of a request. Raises `DecodeError`."""
        spans = list(read(body))
        with self._one_at_a_time:
            self._traces.add(spans)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Catcher

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path != PATH:
            self._answer(HTTPStatus.NOT_FOUND)
            return
        try:
            self.server.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
        except (DecodeError, OSError, EOFError, zlib.error):
            self._answer(HTTPStatus.BAD_REQUEST)
        else:
            self._answer(HTTPStatus.OK, ExportTraceServiceResponse().SerializeToString())

    def _answer(self, status: HTTPStatus, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's signature
        """Do not log requests."""


def read(body: bytes) -> Iterator[Span]:
    """Return the spans in an OTLP request. Raises `DecodeError`."""
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        service = str(_values(resource.resource.attributes).get("service.name", "?"))
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield _read(service, span)


def _read(service: str, span: Message) -> Span:
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=span.parent_span_id.hex(),
        service=service,
        name=span.name,
        kind=Message.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        failed=span.status.code == Status.STATUS_CODE_ERROR,
        attributes=_values(span.attributes),
        links=[link.trace_id.hex() for link in span.links],
    )


def _values(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair) for pair in pairs}


def _value(pair: KeyValue) -> Any:
    which = pair.value.WhichOneof("value")
    return getattr(pair.value, which) if which else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--traces", type=Path, required=True)
    arguments = parser.parse_args()
    with Catcher(arguments.port, Traces(arguments.traces)) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: threading.Thread(target=server.shutdown).start())
        server.serve_forever()


if __name__ == "__main__":
    main()
