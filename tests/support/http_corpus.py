"""Raw requests with the answers that each should get: one each, in order, and the end of the connection.

All go to `/livez`, which every service has: 200 for GET and HEAD, 405 for other methods.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

INNER = b"GET /livez?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
"""A body that would be a request if it were read as one."""
CHUNKED = b"%x\r\n%s\r\n0\r\n\r\n" % (len(INNER), INNER)
LAST = b"GET /livez?last HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class Case:
    """`answers` has the statuses; `closes` is whether the server then closes the connection."""

    name: str
    raw: bytes
    answers: tuple[int, ...]
    closes: bool = False

    def then(self, other: "Case") -> "Case":
        """Return both cases on one connection. Requests after its end are not answered."""
        name, raw = f"{self.name} | {other.name}", self.raw + other.raw
        if self.closes:
            return Case(name, raw, self.answers, closes=True)
        return Case(name, raw, self.answers + other.answers, other.closes)

    def aimed(self, target: bytes, fields: bytes, statuses: Mapping[int, int]) -> "Case":
        """Return the case for another target, with more fields, where these statuses replace those of `/livez`."""
        raw = self.raw.replace(b"/livez HTTP/1.1\r\n", b"%s HTTP/1.1\r\n%s" % (target, fields))
        raw = raw.replace(b"/livez HTTP/1.0\r\n", b"%s HTTP/1.0\r\n%s" % (target, fields))
        return replace(self, raw=raw, answers=tuple(statuses.get(status, status) for status in self.answers))

    @property
    def border(self) -> int:
        """Return the position of the end of the first head."""
        return self.raw.find(b"\r\n\r\n") + 4


def _message(first: bytes, fields: bytes = b"", body: bytes = b"") -> bytes:
    return first + b"\r\nHost: x\r\n" + fields + b"\r\n" + body


def _bodies(method: str) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield the kinds of bodies of a method: name, fields and bytes."""
    length = b"Content-Length: %d\r\n" % len(INNER)
    yield f"{method} with length", length, INNER
    yield f"{method} in chunks", b"Transfer-Encoding: chunked\r\n", CHUNKED
    if method in ("GET", "HEAD"):
        yield method, b"", b""


OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
    "websocket": b"Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n",
    "foo": b"connection: upgrade\r\nupgrade: foo\r\n",
    "TLS": b"Connection: UPGRADE\r\nUpgrade: TLS/1.2, HTTP/1.1\r\n",
    "twice": b"Connection: Upgrade\r\nUpgrade: h2c\r\nUpgrade: foo\r\n",
    "not connection": b"Upgrade: h2c\r\n",
    "no protocol": b"Connection: Upgrade\r\n",
}


def offers() -> Iterator[Case]:
    """Yield offers to upgrade, which are ignored."""
    for offer, fields in OFFERS.items():
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
            for name, framing, body in _bodies(method):
                for place, head in (("before", fields + framing), ("after", framing + fields)):
                    if framing or place == "before":
                        raw = _message(b"%s /livez HTTP/1.1" % method.encode(), head, body)
                        yield Case(f"{offer} {place}, {name}", raw, (_status(method),))


def ordinary() -> Iterator[Case]:
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        for name, framing, body in _bodies(method):
            raw = _message(b"%s /livez HTTP/1.1" % method.encode(), framing, body)
            yield Case(name, raw, (_status(method),))
    yield Case("absolute URI", _message(b"GET http://x/livez HTTP/1.1"), (200,))
    yield Case("absolute URI of another", _message(b"GET http://other:81/livez?x HTTP/1.1"), (200,))
    yield Case("empty lines before", b"\r\n\r\n" + _message(b"GET /livez HTTP/1.1"), (200,))
    yield Case("close", _message(b"GET /livez HTTP/1.1", b"Connection: close\r\n"), (200,), closes=True)
    yield Case("1.0", _message(b"GET /livez HTTP/1.0"), (200,), closes=True)
    yield Case("1.0 kept", _message(b"GET /livez HTTP/1.0", b"Connection: keep-alive\r\n"), (200,), closes=True)
    yield Case("1.0 without a host", b"GET /livez HTTP/1.0\r\n\r\n", (200,), closes=True)
    for host in HOSTS:
        yield Case(f"host {host.decode()}", b"GET /livez HTTP/1.1\r\nhOST:%s\r\n\r\n" % host, (200,))
    yield Case("1.0 h2c", _message(b"GET /livez HTTP/1.0", OFFERS["h2c"]), (200,), closes=True)


HOSTS = (
    b"",
    b" ",
    b" x",
    b"\tx:80 ",
    b" x:",
    b" [::1]:8000",
    b" 192.0.2.1:80",
    b" xn--mller-kva.example",
    b" a_b.example",
)
WRONG_HOSTS = {
    "no host": b"",
    "the same host twice": b"Host: x\r\nHost: x\r\n",
    "two hosts": b"Host: x\r\nX: y\r\nHOST: y\r\n",
    "an empty host and another": b"Host:\r\nHost: x\r\n",
    "hosts in one field": b"Host: x, y\r\n",
    "a user in the host": b"Host: a@x\r\n",
    "a path in the host": b"Host: x/y\r\n",
    "a space in the host": b"Host: x y\r\n",
    "a port that is none": b"Host: x:y\r\n",
    "a host beyond ASCII": b"Host: m\xc3\xbcller.example\r\n",
    "a broken address as host": b"Host: [::1\r\n",
}
CHUNKS = {
    "extension": b"5;a=b\r\nhello\r\n0\r\n\r\n",
    "quoted extension": b'5;a="b;c"\r\nhello\r\n0;d\r\n\r\n',
    "long extension": b"5;%s\r\nhello\r\n0\r\n\r\n" % (b"x" * 500),
    "leading zeros": b"0005\r\nhello\r\n000\r\n\r\n",
    "upper case": b"A\r\n0123456789\r\n0\r\n\r\n",
    "bytes": b"1\r\nx\r\n" * 20 + b"0\r\n\r\n",
    "trailer": b"5\r\nhello\r\n0\r\nX-Trailer: y\r\n\r\n",
    "trailers": b"0\r\n" + b"".join(b"X-%d: y\r\n" % number for number in range(20)) + b"\r\n",
    "address in a trailer": b"0\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n",
    "host in a trailer": b"0\r\nHost: y\r\nUpgrade: h2c\r\n\r\n",
}
BROKEN_CHUNKS = {
    "bare LF": b"5\nhello\n0\n\n",
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "prefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "overflow": b"fffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "too short": b"3\r\nhello\r\n0\r\n\r\n",
    "space": b"5 \r\nhello\r\n0\r\n\r\n",
    "bare CR": b"5\rhello\r\n0\r\n\r\n",
    "length in a trailer": b"0\r\nContent-Length: 40\r\n\r\n",
    "two lengths in trailers": b"0\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\n",
    "coding in a trailer": b"0\r\nTransfer-Encoding: gzip\r\n\r\n",
    "close in a trailer": b"0\r\nConnection: close\r\n\r\n",
    "upgrade in a trailer": b"0\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    "obs-fold in a trailer": b"0\r\nX: a\r\n b\r\n\r\n",
}


def chunks() -> Iterator[Case]:
    for name, body in CHUNKS.items():
        raw = _message(b"POST /livez HTTP/1.1", b"Transfer-Encoding: chunked\r\n", body)
        yield Case(f"chunks: {name}", raw, (405,))
        raw = _message(b"PUT /livez HTTP/1.1", OFFERS["h2c"] + b"Transfer-Encoding: Chunked\r\n", body)
        yield Case(f"chunks with an offer: {name}", raw, (405,))


REFUSED = {
    "obs-fold": (_message(b"GET /livez HTTP/1.1", b"X: a\r\n b\r\n"), 400),
    "obs-fold first": (_message(b"GET /livez HTTP/1.1\r\n X: a"), 400),
    "bare LF": (b"GET /livez HTTP/1.1\nHost: x\n\n", 400),
    "bare LF in a field": (_message(b"GET /livez HTTP/1.1", b"X: a\nY: b\r\n"), 400),
    "bare CR in a field": (_message(b"GET /livez HTTP/1.1", b"X: a\rY: b\r\n"), 400),
    "NUL in a field": (_message(b"GET /livez HTTP/1.1", b"X: a\x00b\r\n"), 400),
    "space before the colon": (_message(b"GET /livez HTTP/1.1", b"X : a\r\n"), 400),
    "no name": (_message(b"GET /livez HTTP/1.1", b": a\r\n"), 400),
    "same length twice": (_message(b"POST /livez HTTP/1.1", b"Content-Length: 5\r\n" * 2, b"hello"), 400),
    "two lengths": (_message(b"POST /livez HTTP/1.1", b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), 400),
    "list of lengths": (_message(b"POST /livez HTTP/1.1", b"Content-Length: 5, 5\r\n", b"hello"), 400),
    "signed length": (_message(b"POST /livez HTTP/1.1", b"Content-Length: +5\r\n", b"hello"), 400),
    "negative length": (_message(b"POST /livez HTTP/1.1", b"Content-Length: -5\r\n", b"hello"), 400),
    "hexadecimal length": (_message(b"POST /livez HTTP/1.1", b"Content-Length: 0x5\r\n", b"hello"), 400),
    "huge length": (_message(b"POST /livez HTTP/1.1", b"Content-Length: 99999999999999999999999\r\n"), 400),
    "length, then chunks": (
        _message(b"POST /livez HTTP/1.1", b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
        400,
    ),
    "chunks, then length": (
        _message(b"POST /livez HTTP/1.1", b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", CHUNKED),
        400,
    ),
    "offer, length and chunks": (
        _message(
            b"POST /livez HTTP/1.1", OFFERS["foo"] + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", CHUNKED
        ),
        400,
    ),
    "gzip, chunked": (_message(b"POST /livez HTTP/1.1", b"Transfer-Encoding: gzip, chunked\r\n", CHUNKED), 501),
    "gzip and chunked": (
        _message(b"POST /livez HTTP/1.1", b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", CHUNKED),
        501,
    ),
    "gzip": (_message(b"POST /livez HTTP/1.1", b"Transfer-Encoding: gzip\r\n", CHUNKED), 501),
    "xchunked": (_message(b"POST /livez HTTP/1.1", b"Transfer-Encoding: xchunked\r\n", CHUNKED), 501),
    "chunked, identity": (_message(b"POST /livez HTTP/1.1", b"Transfer-Encoding: chunked, identity\r\n"), 400),
    "CONNECT": (_message(b"CONNECT x:80 HTTP/1.1"), 501),
    "CONNECT with an offer": (_message(b"CONNECT x:80 HTTP/1.1", OFFERS["h2c"]), 501),
    "HTTP/2.0": (_message(b"GET /livez HTTP/2.0"), 505),
    "HTTP/0.9": (b"GET /livez\r\n\r\n", 505),
    "HTTP/3.7": (_message(b"GET /livez HTTP/3.7"), 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "a method unknown": (_message(b"BREW /livez HTTP/1.1"), 400),
    "a path of bytes": (_message(b"GET /\xff HTTP/1.1"), 400),
    "no path": (_message(b"GET HTTP/1.1"), 400),
    "TLS hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "many fields": (_message(b"GET /livez HTTP/1.1", b"X: y\r\n" * 101), 431),
}


def refused() -> Iterator[Case]:
    for name, (raw, status) in REFUSED.items():
        yield Case(name, raw, (status,), closes=True)
    for name, fields in WRONG_HOSTS.items():
        yield Case(name, b"GET /livez HTTP/1.1\r\n%s\r\n" % fields, (400,), closes=True)
        yield Case(
            f"{name}, with an offer", b"GET /livez HTTP/1.1\r\n%s\r\n" % (fields + OFFERS["h2c"]), (400,), closes=True
        )
        body = b"POST /livez HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (fields, len(INNER), INNER)
        yield Case(f"{name}, with a body", body, (400,), closes=True)
    yield Case("absolute URI, no host", b"GET http://x/livez HTTP/1.1\r\n\r\n", (400,), closes=True)
    yield Case("1.0 with two hosts", _message(b"GET /livez HTTP/1.0", b"Host: x\r\n"), (400,), closes=True)


def broken_bodies() -> Iterator[Case]:
    """Yield bodies that are invalid after the head: 405 if the application was faster, otherwise 400. There is one
    response, then the end."""
    for name, body in BROKEN_CHUNKS.items():
        raw = _message(b"POST /livez HTTP/1.1", b"Transfer-Encoding: chunked\r\n", body)
        yield Case(f"broken chunks: {name}", raw, (400,), closes=True)


def singles() -> list[Case]:
    return [*ordinary(), *offers(), *chunks(), *refused()]


def few() -> list[Case]:
    """Return one case of each kind, for pipelines of all pairs."""
    named = {case.name: case for case in singles()}
    wanted = [
        *("GET", "HEAD", "POST with length", "POST in chunks", "GET with length", "absolute URI", "close", "1.0"),
        *("h2c before, GET", "h2c before, POST with length", "foo after, POST in chunks", "websocket before, GET"),
        *(
            "TLS before, PUT with length",
            "chunks: extension",
            "chunks: trailer",
            "chunks with an offer: trailers",
        ),
        *(
            "no host",
            "two hosts",
            "obs-fold",
            "bare LF",
            "two lengths",
            "length, then chunks",
            "gzip",
            "CONNECT",
            "HTTP/2.0",
            "TLS hello",
        ),
    ]
    return [named[name] for name in wanted]


def pipelines() -> list[Case]:
    return [first.then(second) for first in few() for second in few()]


def _status(method: str) -> int:
    return 200 if method in ("GET", "HEAD") else 405
