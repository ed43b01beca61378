"""API keys at the gateway: the users service knows them, and each answer is used for a minute.

A key has the id of a session, as far as the gateway is concerned: a deleted key is revoked like an ended session, which
every gateway learns at once (`revocations.py`).
"""

import asyncio
import hashlib
import time
from collections.abc import Set
from typing import NamedTuple, TypeAlias

import httpx
import msgspec

from services.gateway import metrics
from services.gateway.errors import InsufficientScope, KeysUnavailable, SessionRequired
from services.gateway.settings import Settings, Tuning
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import BadAnswer, TooLate, UpstreamFailed
from services.gateway.upstream.responses import read_limited
from shared.http.api_keys import LOOKUP_PATH, MEMORY_S, PREFIX, KeyLookup, KeyScope, KnownKey, is_well_formed
from shared.http.identity import Caller
from shared.http.tokens import InvalidToken
from shared.observability.logs import get_logger

log = get_logger(__name__)

BEGINNING = PREFIX.encode()
LOOKUPS_AT_ONCE = 16
MAX_UNKNOWN = 1000
"""The number of unknown keys that are remembered."""
MAX_BYTES = 4096
READING = frozenset({"GET", "HEAD"})
_HEADERS = [("Content-Type", "application/json")]

_decode = msgspec.json.Decoder(KeyLookup).decode


class Grant(NamedTuple):
    """What a key allows. `expires`: until when this may be used. `ends`: until when a live stream may stay open, which
    is no longer than with an access token, so that a revocation that this gateway has missed does not last. Both are
    Unix times."""

    caller: Caller
    scopes: frozenset[KeyScope]
    expires: float
    ends: float


Outcome: TypeAlias = Grant | UpstreamFailed | None
"""Of a lookup; None if there is no such key."""


def check_scope(scopes: Set[KeyScope], method: str, *, of_operators: bool, session_only: bool) -> None:
    """Raises `SessionRequired`, or `InsufficientScope`, which names the scope that is missing.

    `of_operators`: whether the route is for operators. `session_only`: whether it is for signed-in people.
    """
    if session_only:
        raise SessionRequired
    if (scope := needed_scope(method, of_operators=of_operators)) not in scopes:
        raise InsufficientScope(f"This needs an API key with the scope {scope}.")


def needed_scope(method: str, *, of_operators: bool) -> KeyScope:
    """Return the scope that a request needs."""
    if of_operators:
        return "admin"
    return "read" if method in READING else "write"


class ApiKeys:
    """Looks keys up at `users`, the service that has the accounts; concurrent requests with one key share one lookup.
    Without accounts there are no keys."""

    def __init__(self, users: Upstream | None, settings: Settings, tuning: Tuning) -> None:
        self.users = users
        self._timeout_s = tuning.api_key_timeout_s
        self._stream_s = settings.access_token_ttl_s
        self._lookups: dict[bytes, asyncio.Task[Grant | UpstreamFailed | None]] = {}
        self._turns = asyncio.Semaphore(LOOKUPS_AT_ONCE)
        self._unknown: dict[bytes, float] = {}
        """Digests of keys that do not exist, and until when that is assumed."""

    def close(self) -> None:
        """Give up all lookups."""
        for lookup in self._lookups.values():
            lookup.cancel()

    async def verify(self, key: bytes) -> Grant:
        """Raises `InvalidToken` for a key that is not valid, and `KeysUnavailable` if that cannot be found out now."""
        if self.users is None or not is_well_formed(key):
            raise InvalidToken("not an API key, or with a typing error")
        digest = hashlib.sha256(key).digest()
        if self._unknown.get(digest, 0) > time.monotonic():
            raise InvalidToken("unknown API key")
        found = await asyncio.shield(self._lookup(self.users, digest))
        if isinstance(found, UpstreamFailed):
            raise KeysUnavailable("API keys cannot be verified now; try again") from found
        if found is None:
            raise InvalidToken("unknown API key")
        return found

    def _lookup(self, users: Upstream, digest: bytes) -> asyncio.Task[Outcome]:
        if (lookup := self._lookups.get(digest)) is None:
            lookup = self._lookups[digest] = asyncio.create_task(self._outcome(users, digest))
            lookup.add_done_callback(lambda _: self._lookups.pop(digest, None))
        return lookup

    async def _outcome(self, users: Upstream, digest: bytes) -> Outcome:
        asked = time.time()
        try:
            async with asyncio.timeout(self._timeout_s), self._turns:
                known = await self._ask(users, digest)
        except (UpstreamFailed, TimeoutError) as failure:
            metrics.API_KEY_LOOKUPS.labels("failed").inc()
            log.warning("API key cannot be looked up", reason=repr(failure))
            return failure if isinstance(failure, UpstreamFailed) else TooLate(f"no answer in {self._timeout_s:g} s")
        metrics.API_KEY_LOOKUPS.labels("unknown" if known is None else "known").inc()
        if known is None:
            self._remember_unknown(digest)
            return None
        return self._grant(known, asked)

    async def _ask(self, users: Upstream, digest: bytes) -> KnownKey | None:
        body = msgspec.json.encode({"key_hash": digest.hex()})
        response = await users.send("POST", LOOKUP_PATH, _HEADERS, body, self._timeout_s)
        try:
            content = await read_limited(response, MAX_BYTES)
        finally:
            await response.aclose()
        if response.status_code != httpx.codes.OK:
            raise BadAnswer(f"status {response.status_code}")
        try:
            return _decode(content).key
        except msgspec.DecodeError as broken:
            raise BadAnswer(str(broken)) from broken

    def _grant(self, known: KnownKey, asked: float) -> Grant:
        """A key without the scope `admin` acts as an ordinary user, whatever its owner's role is."""
        caller = Caller(known.user_id, known.role if "admin" in known.scopes else "user", known.id)
        end = known.expires_at.timestamp() if known.expires_at else float("inf")
        return Grant(caller, known.scopes, min(asked + MEMORY_S, end), min(asked + self._stream_s, end))

    def _remember_unknown(self, digest: bytes) -> None:
        self._unknown.pop(digest, None)
        self._unknown[digest] = time.monotonic() + MEMORY_S
        if len(self._unknown) > MAX_UNKNOWN:
            del self._unknown[next(iter(self._unknown))]
