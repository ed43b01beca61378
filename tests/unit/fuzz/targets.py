"""The fuzz targets: each reads a drawn input, and raises an error if the code under test misbehaves.

Every reader has one error of its own for unreadable input. Any other error is a defect.
"""

import asyncio
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import jwt
from hypothesis import strategies as st
from starlette.exceptions import HTTPException
from starlette.requests import Request

from services.gateway.auth.claims import is_readable
from services.gateway.auth.issuer_keys import parse_issuer_keys
from services.gateway.auth.issuers import ForeignIssuer, claimed_issuer
from services.gateway.auth.jwks import UnusableKeySet
from services.gateway.dashboard.models import parse, wants_no_cache
from services.gateway.live.feed import UnreadableChange, read_changes, touched_by_events
from services.gateway.live.sse import read_id
from services.gateway.settings import Tuning
from services.gateway.trusted_issuers import TrustedIssuer
from services.gateway.upstream.panel_protocol import MalformedAnswer, read_answers
from services.orders import import_rows
from services.users.avatars.errors import UnusablePicture
from services.users.avatars.routes import from_form, knows_etag
from services.worker.imports.records import MAX_RECORD, Head, Offset, cut
from services.worker.imports.upload import FormFile
from services.worker.ledger.admin import repository as job_cursor
from services.worker.ledger.job import JobMessage
from services.worker.webhooks.address import AddressPolicy, AddressRefused
from shared.contracts import events, topology
from shared.contracts.imports import COLUMNS
from shared.contracts.panels import read_panels_query, read_query
from shared.errors import InvalidInput, UnsupportedMediaType
from shared.http.negotiation import accepts_gzip
from shared.http.tokens import InvalidToken
from shared.observability.telemetry import Trace
from tests.support.gateway.declared import PANELS
from tests.support.gateway.issuers import AUDIENCE, ISSUER, JWKS_URL, IssuerSigner, PublishedDocuments, jwks


class Target(NamedTuple):
    draw: st.SearchStrategy[Any]
    run: Callable[[Any], None]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
_OPENINGS = (b"[", b'{"a":', b'{"rows":[[')
DEEP = st.builds(lambda opening, depth: opening * depth, st.sampled_from(_OPENINGS), st.integers(1, 20_000))
"""Nested deeper than any reader supports."""


def spoilt(sound: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Draw valid bodies, and bodies with a few bytes replaced."""

    def spoil(body: bytes, at: int, put: bytes, gone: int) -> bytes:
        at %= len(body) + 1
        return body[:at] + put + body[at + gone :]

    return sound | st.builds(spoil, sound, st.integers(0, 5000), st.binary(max_size=4), st.integers(0, 4))


def as_json(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


def bodies(sound: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return spoilt(sound) | JSON.map(as_json) | st.binary(max_size=200) | DEEP


# Events, as received from a queue.

AMQP = st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.binary(max_size=20) | st.datetimes()
SOUND = st.one_of([st.builds(kind) for kind in events.EVENTS.values()])
HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(sorted(events.EVENTS)) | AMQP | st.lists(AMQP, max_size=2),
        "id": st.uuids().map(str) | AMQP,
        "time": st.just("2026-01-31T12:00:00Z") | st.just("2026-01-31T12:00:00") | AMQP,
        "subject": st.uuids().map(str) | AMQP,
        "traceparent": AMQP,
    },
)
MESSAGES = st.tuples(HEADERS, bodies(SOUND.map(events.encode)), st.none() | st.text(max_size=40))


def event(message: tuple[Mapping[str, Any], bytes, str | None]) -> None:
    """Read an event. Even for an unreadable one, the ledger has an id, a type that it can store, and headers as
    JSON."""
    headers, body, message_id = message
    delivery = JobMessage.read(headers, body, message_id)
    assert "\0" not in delivery.event_type
    assert json.loads(delivery.headers_json).keys() == dict(headers).keys()
    assert JobMessage.read(headers, body, message_id).event_id == delivery.event_id, "the same id the second time"
    if delivery.is_readable:
        assert delivery.user_id == delivery.envelope.event.user_id


def event_there_and_back(sent: events.Event) -> None:
    """Read an event that was written; it is unchanged."""
    headers = {"type": sent.type, "id": str(sent.user_id), "time": "2026-01-31T12:00:00Z"}
    assert events.decode(headers, events.encode(sent)).event == sent


TOUCHED = touched_by_events(PANELS)


def change(message: tuple[Mapping[str, Any], bytes, str | None]) -> None:
    """Read a message of the gateway's live feed."""
    headers, body, _ = message
    for exchange in (topology.LIVE, topology.EVENTS):
        with suppress(UnreadableChange):
            read_changes(TOUCHED, exchange, "order.created", headers, body)


# The batch protocol.

CELL = st.text(max_size=12) | st.sampled_from(["EUR", "1", "-1", "9" * 25, "2026-01-31T12:00:00Z", "\0", "=1"])
ROW = st.lists(CELL | JSON, max_size=9) | st.lists(CELL, min_size=len(COLUMNS), max_size=len(COLUMNS)) | JSON
GOOD_ROW = st.just(["r", "EUR", "s", "n", "1", "2", "2026-01-31T12:00:00Z"])
ID = st.uuids().map(str)
BATCH = st.fixed_dictionaries(
    {"user_id": ID, "import_id": ID, "rows": st.lists(GOOD_ROW | ROW, max_size=4)}, optional={"more": JSON}
)


def batch(body: bytes) -> None:
    """Read a batch. Every row is an order or has an error, never both; otherwise the body is invalid input."""
    with suppress(InvalidInput):
        read = import_rows.read(body)
        rows = range(len(json.loads(body)["rows"]))
        bad = {error.row for error in read.errors}
        assert bad.isdisjoint(read.orders)
        assert bad | read.orders.keys() == set(rows)
        assert all(order.ordered_at <= datetime.now(UTC) for order in read.orders.values())


PANEL_QUERY = st.fixed_dictionaries({"ids": st.lists(ID)}, optional={"panels": st.lists(st.text(max_size=9))})
PANEL_ANSWER = st.just({"items": {"a": {}, "b": []}, "missing": ["c"]}) | st.just({"error": "timeout"}) | JSON
PANELS_ANSWER = st.fixed_dictionaries(
    {"panels": st.dictionaries(st.sampled_from([panel.name for panel in PANELS]), PANEL_ANSWER)}
)


def panel_query(body: bytes) -> None:
    with suppress(InvalidInput):
        assert read_query(body).ids
    with suppress(InvalidInput):
        asked = read_panels_query(body)
        assert asked.ids
        assert asked.panels


def panel_answer(body: bytes) -> None:
    """Read a service's response. Each user has their own result for each panel, or there is none at all."""
    with suppress(MalformedAnswer):
        answers = read_answers(PANELS, ["a", "b"], body, 100)
        assert [len(answers[panel.name]) for panel in PANELS] == [2] * len(PANELS)


# Queries and headers of clients.


def job_page(told: str) -> None:
    with suppress(InvalidInput):
        key = job_cursor.decode_cursor(told)
        assert key is not None
        assert job_cursor.encode_cursor(key) == told


def query(told: bytes) -> None:
    with suppress(InvalidInput):
        wish = parse.__wrapped__(told, PANELS, 1000)
        assert wish.panels
        assert 10 <= wish.budget_ms <= 10_000


def header(told: str) -> None:
    """Read the value of a header, or ignore it."""
    accepts_gzip([(b"accept-encoding", told.encode("latin-1", "replace"))])
    wants_no_cache.__wrapped__(told.encode("latin-1"))
    assert all(panel and digest for panel, digest in read_id(told).items())
    trace = Trace.parse(told)
    assert trace is None or str(trace) == told
    assert knows_etag(f'W/"x-64", {told}', '"x-64"')
    assert not knows_etag(told, '"not in there"') or "*" in told


# Files.

FORM = st.lists(
    st.sampled_from(
        [b"--x\r\n", b"--x--\r\n", b"\r\n", b'Content-Disposition: form-data; name="file"', b"; filename=a"]
    )
    | st.binary(max_size=20),
    max_size=12,
).map(b"".join)
KINDS = st.sampled_from(
    ["multipart/form-data; boundary=x", "multipart/form-data", 'multipart/form-data; boundary="', "text/csv", ""]
)


def _request(kind: str, body: bytes) -> Request:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    return Request({"type": "http", "headers": [(b"content-type", kind.encode())]}, receive)


def upload(form: tuple[str, bytes]) -> None:
    """Read a multipart body: it has the file, or is refused."""

    async def read() -> None:
        async for _ in FormFile(_request(*form), "file").pieces():
            pass

    with suppress(InvalidInput, UnsupportedMediaType, HTTPException):
        asyncio.run(read())


def picture(form: tuple[str, bytes]) -> None:
    with suppress(UnusablePicture, HTTPException):
        asyncio.run(from_form(_request(*form)))


def csv_file(data: bytes) -> None:
    """Read a CSV file: any bytes result in rows and problems, and reading ends."""
    place = Offset(0, 1)
    while place.offset < len(data):
        records, end = cut(data[place.offset :], place, 10, at_end=True)
        assert end.offset > place.offset or end.line > place.line or records, "goes on"
        place = end
    head = Head()
    with suppress(InvalidInput):
        head.see(data)
        head.end()


CSV = st.lists(st.sampled_from([b'"', b"\n", b"\r", b",", b"x" * MAX_RECORD]) | st.binary(max_size=8)).map(b"".join)


def address(told: str) -> None:
    """Check an address: one that a webhook may use is also public according to the standard library."""
    with suppress(AddressRefused):
        checked = AddressPolicy.of([443], []).check(told, 443)
        assert checked.is_global
        assert not checked.is_multicast
        assert not checked.is_private


ADDRESS = st.text(max_size=40) | st.ip_addresses().map(str) | st.ip_addresses(v=4).map(lambda v4: f"::ffff:{v4}")

# Key sets and tokens of other issuers.

SIGNER = IssuerSigner.of("EdDSA")
VERIFIER = ForeignIssuer(
    TrustedIssuer(issuer=ISSUER, audience=(AUDIENCE,), jwks=JWKS_URL, user_id="user.id"),
    PublishedDocuments({JWKS_URL: jwks(SIGNER.jwk())}),
    Tuning(),
)
_MEMBERS = {name: st.just(value) for name, value in SIGNER.jwk().items()}
_ODD = st.sampled_from(["oct", "RSA", "EC", "OKP", "P-256", "Ed448", "enc", "AQAB", "AQAB" * 90]) | JSON
JWKS = st.fixed_dictionaries(
    {"keys": st.lists(st.fixed_dictionaries(_MEMBERS) | st.dictionaries(st.sampled_from([*_MEMBERS, "n", "e"]), _ODD))}
)
CLAIMS = st.fixed_dictionaries(
    {"iss": st.just(ISSUER) | JSON, "aud": st.just(AUDIENCE) | JSON, "exp": st.integers(2**40) | JSON},
    optional=dict.fromkeys(("sub", "user", "nbf", "iat", "jti", "events", "role"), JSON),
)


def issuer_keys(body: bytes) -> None:
    with suppress(UnusableKeySet):
        assert parse_issuer_keys(body)


def issuer_token(body: bytes) -> None:
    """Verify a signed token with any body: it identifies someone, or is refused."""
    token = jwt.api_jws.encode(body, SIGNER.private, "EdDSA", {"kid": SIGNER.kid})
    with suppress(InvalidToken):
        claimed_issuer(token)
    with suppress(InvalidToken):
        assert is_readable(asyncio.run(VERIFIER.verify(token, 0)).subject)


TARGETS: Mapping[str, Target] = {
    "event": Target(MESSAGES, event),
    "event there and back": Target(SOUND, event_there_and_back),
    "live change": Target(MESSAGES, change),
    "batch of an import": Target(bodies(BATCH.map(as_json)), batch),
    "panel query": Target(bodies(PANEL_QUERY.map(as_json)), panel_query),
    "panel answer": Target(bodies(PANELS_ANSWER.map(as_json)), panel_answer),
    "cursor of jobs": Target(st.text(max_size=64), job_page),
    "query of a dashboard": Target(
        st.binary(max_size=60) | st.binary(max_size=9).map(b"budget_ms=".__add__) | st.just(b"panels=user,,user"), query
    ),
    "headers": Target(st.text(st.characters(max_codepoint=255), max_size=60), header),
    "upload": Target(st.tuples(KINDS, FORM), upload),
    "picture": Target(st.tuples(KINDS, FORM), picture),
    "CSV file": Target(CSV, csv_file),
    "address of a webhook": Target(ADDRESS, address),
    "key set of an issuer": Target(bodies(JWKS.map(as_json)), issuer_keys),
    "token of an issuer": Target(bodies(CLAIMS.map(as_json)), issuer_token),
}
