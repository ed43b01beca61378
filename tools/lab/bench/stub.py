"""Stubs of the services, fast enough not to limit a measurement. Every panel has about 1.2 KB.

    python -m tools.lab.bench.stub PORT JWKS

POST /internal/panels (many users, several panels) · POST /internal/panels/{panel} (many users, one panel)
GET /panels/{panel}/{id} (one of each) · GET /control/well|hang|errors
/v1/orders/{id} (300 bytes) · /v1/notifications (50 KB), with any method
"""

import asyncio
import json
import os
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import cast

import msgspec
import uvloop

PANEL_BYTES = int(os.environ.get("STUB_PANEL_BYTES", "1200"))
MOST_ITEMS = PANEL_BYTES // 60
"""More items than fit into a panel."""
ERROR_SHARE = 0.2
_ID = "019b0000-0000-7000-8000-000000000000"


def _of_size(make: list[dict[str, object]]) -> bytes:
    """Return as many of these items as fit."""
    chosen: list[dict[str, object]] = []
    for item in make:
        if len(json.dumps([*chosen, item], separators=(",", ":"))) > PANEL_BYTES:
            break
        chosen.append(item)
    return json.dumps(chosen, separators=(",", ":")).encode()


_WHEN = "2026-01-31T12:00:00.123456Z"
_USER = {
    "id": _ID,
    "email": "ann@example.com",
    "name": "Ann",
    "avatar_url": "x" * (PANEL_BYTES - 160),
    "created_at": _WHEN,
}
_ORDER = {"id": _ID, "status": "paid", "total": 4999, "currency": "EUR", "item_count": 2, "created_at": _WHEN}
_NOTE = {"id": _ID, "kind": "order.created", "title": "Thanks for your order", "read": False, "created_at": _WHEN}
_DAYS = [{"day": f"2026-01-{day:02}", "orders": 1, "revenue": {"EUR": 4999}} for day in range(1, MOST_ITEMS + 1)]
_SUMS = {
    "orders": 20,
    "items": 40,
    "revenue": {"EUR": 99980},
    "by_status": {"paid": 20},
    "average_order": {"EUR": 4999},
}
PANELS = {
    "user": json.dumps(_USER, separators=(",", ":")).encode(),
    "orders": _of_size([dict(_ORDER) for _ in range(MOST_ITEMS)]),
    "notifications": _of_size([dict(_NOTE) for _ in range(MOST_ITEMS)]),
    "analytics": json.dumps(_SUMS | {"last_order_at": _WHEN, "daily": _DAYS}, separators=(",", ":")).encode(),
}
_HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def answer(status: bytes, body: bytes) -> bytes:
    return _HEAD % (status, len(body)) + body


SINGLE = {name.encode(): answer(b"200 OK", panel) for name, panel in PANELS.items()}
REPORT = answer(b"200 OK", b'{"kind":"orders","from":"2026-01-01","to":"2026-12-31"}')
PASSED_THROUGH = {
    b"orders": answer(b"200 OK", json.dumps(_ORDER | {"note": "x" * 140}).encode()),
    b"notifications": answer(b"200 OK", json.dumps([dict(_NOTE) for _ in range(360)]).encode()),
}
FAILURE = answer(b"500 Internal Server Error", b"{}")
NOTHING = answer(b"404 Not Found", b"{}")


class State:
    def __init__(self, jwks: bytes) -> None:
        self.jwks = answer(b"200 OK", jwks)
        self.mode = b"well"


def panels(path: Sequence[bytes], body: bytes) -> bytes:
    """Return the response to a query whose path names one panel, or whose body names several."""
    query = msgspec.json.decode(body)
    ids = [user_id.encode() for user_id in query["ids"]]
    if path:
        return answer(b"200 OK", items(path[0].decode(), ids))
    parts = [b'"%s":%s' % (panel.encode(), items(panel, ids)) for panel in query["panels"]]
    return answer(b"200 OK", b'{"panels":{%s}}' % b",".join(parts))


def items(panel: str, ids: Iterable[bytes]) -> bytes:
    data = PANELS[panel]
    return b'{"items":{%s},"missing":[]}' % b",".join(b'"%s":%s' % (user_id, data) for user_id in ids)


class Connection(asyncio.Protocol):
    """The part of HTTP/1.1 that these clients use: Content-Length, keep-alive, pipelining."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._got = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._got += data
        while (request := self._next()) is not None:
            if (found := self._reply(*request)) is not None:
                self._transport.write(found)

    def _next(self) -> tuple[bytes, bytes] | None:
        """Return the target and body of the next complete request."""
        head, end, rest = self._got.partition(b"\r\n\r\n")
        if not end:
            return None
        length = 0
        low = head.lower()
        if (place := low.find(b"content-length:")) >= 0:
            length = int(low[place + 15 :].split(b"\r\n", 1)[0])
        elif b"transfer-encoding: chunked" in low:
            return self._chunked(head, rest)
        if len(rest) < length:
            return None
        self._got = rest[length:]
        return head.split(b" ", 2)[1], rest[:length]

    def _chunked(self, head: bytes, rest: bytes) -> tuple[bytes, bytes] | None:
        chunks, body = rest, b""
        while True:
            size, end, chunks = chunks.partition(b"\r\n")
            if not end or len(chunks) < int(size, 16) + 2:
                return None
            body, chunks = body + chunks[: int(size, 16)], chunks[int(size, 16) + 2 :]
            if int(size, 16) == 0:
                self._got = chunks
                return head.split(b" ", 2)[1], body

    def _reply(self, target: bytes, body: bytes) -> bytes | None:
        parts = target.split(b"/")
        match parts[1]:
            case b"internal":
                return self._troubled() or (None if self._state.mode == b"hang" else panels(parts[3:], body))
            case b"panels":
                return self._troubled() or (None if self._state.mode == b"hang" else SINGLE[parts[2]])
            case b"v1":
                return PASSED_THROUGH.get(parts[2], REPORT)
            case b"control":
                self._state.mode = parts[2]
                return answer(b"200 OK", b"{}")
            case b".well-known":
                return self._state.jwks
            case b"livez":
                return answer(b"200 OK", b"{}")
        return NOTHING

    def _troubled(self) -> bytes | None:
        return FAILURE if self._state.mode == b"errors" and random.random() < ERROR_SHARE else None


async def serve(port: int, jwks: bytes) -> None:
    state = State(jwks)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(state), "127.0.0.1", port, backlog=2048)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
