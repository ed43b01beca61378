"""The public keys of the issuers of tokens, kept up to date in the background."""

import asyncio
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from itertools import cycle
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pyqwest import Transport

from services.gateway import metrics
from services.gateway.errors import KeysUnavailable
from services.gateway.settings import Settings, Tuning
from services.gateway.upstream.errors import UpstreamFailed
from services.gateway.upstream.responses import fetch
from shared.http.tokens import USER_ISSUER, InvalidToken, public_keys
from shared.observability.logs import get_logger
from shared.server.background import Failures, RestartPolicy

log = get_logger(__name__)

MAX_JWKS_BYTES = 256 * 1024

Keys = dict[str, Ed25519PublicKey]
K = TypeVar("K")


class UnusableKeySet(Exception):
    """The fetched document is not a key set, or has no usable key."""


def parse_key_set(body: bytes) -> Keys:
    """Return the keys of a JWKS by id. Raises `UnusableKeySet`."""
    try:
        keys = public_keys(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        raise UnusableKeySet(repr(broken)) from broken
    if not keys:
        raise UnusableKeySet("no Ed25519 keys")
    return keys


class KeySet(ABC, Generic[K]):
    """The most recently fetched keys of one issuer, by id. A failed fetch changes nothing.

    After failures in a row, the pause doubles from `jwks_retry_s` to `retry_max_s`.
    """

    def __init__(self, issuer: str, url: str, tuning: Tuning, retry_max_s: float) -> None:
        self.issuer = issuer
        self._url = url
        self._tuning = tuning
        self._retry = RestartPolicy(tuning.jwks_retry_s, retry_max_s)
        self._fetching = asyncio.Lock()
        self._asked_at = float("-inf")
        self._on_change: list[Callable[[], None]] = []
        self.keys: dict[str, K] = {}
        self.failure: str | None = None
        """Why the last fetch failed."""
        self._fetched_at = metrics.JWKS_FETCHED.labels(issuer)  # 0 until the first fetch, so that an alert sees it

    @abstractmethod
    async def _read(self) -> dict[str, K]:
        """Fetch the keys. Raises `UpstreamFailed`, `UnusableKeySet` or `TimeoutError`."""

    def on_change(self, callback: Callable[[], None]) -> None:
        """Call `callback` when the keys have changed."""
        self._on_change.append(callback)

    async def key(self, kid: str | None) -> K:
        """Return the key with that id; without an id, the only key. If there is none, `look_again` first. Raises
        `KeysUnavailable` or `InvalidToken`."""
        if self._find(kid) is None:
            await self.look_again()
        if not self.keys:
            raise KeysUnavailable
        if (found := self._find(kid)) is None:
            raise InvalidToken("unknown key id" if kid is not None else "no key id, and the issuer has several keys")
        return found

    async def look_again(self) -> bool:
        """Fetch because of a token whose key is not known, at most once every `jwks_unknown_key_pause_s`; a fetch in
        progress is awaited instead. Return whether the keys have changed."""
        before = self.keys
        async with self._fetching:
            if self.keys is before and self._may_ask():
                await self._fetch()
        return self.keys is not before

    async def check(self) -> None:
        """For readiness. Raises `KeysUnavailable`."""
        if not self.keys:
            raise KeysUnavailable

    async def keep_fresh(self) -> None:
        """Fetch periodically. Runs until cancelled."""
        failures = Failures(self._retry)
        while True:
            async with self._fetching:
                fetched = await self._fetch()
            if fetched:
                failures.reset()
            await asyncio.sleep(self._tuning.jwks_refresh_s if fetched else failures.pause_s())

    def _find(self, kid: str | None) -> K | None:
        if kid is None:
            return next(iter(self.keys.values())) if len(self.keys) == 1 else None
        return self.keys.get(kid)

    def _may_ask(self) -> bool:
        return time.monotonic() >= self._asked_at + self._tuning.jwks_unknown_key_pause_s

    async def _fetch(self) -> bool:
        self._asked_at = time.monotonic()
        try:
            found = await self._read()
        except (UpstreamFailed, UnusableKeySet, TimeoutError) as failure:
            self.failure = repr(failure)
            metrics.JWKS_FAILURES.labels(self.issuer).inc()
            log.warning("the key set cannot be fetched", issuer=self.issuer, url=self._url, reason=self.failure)
            return False
        self.failure = None
        if found != self.keys:
            self.keys = found
            log.info("key set changed", issuer=self.issuer, kids=sorted(found))
            for callback in self._on_change:
                callback()
        self._fetched_at.set_to_current_time()
        return True


class OwnKeys(KeySet[Ed25519PublicKey]):
    """The keys of the users service. After a failure, the next of its URLs is used."""

    def __init__(self, transport: Transport, settings: Settings, tuning: Tuning) -> None:
        self._urls = cycle(settings.jwks_url.split(","))
        super().__init__(USER_ISSUER, next(self._urls), tuning, tuning.jwks_retry_s)
        self._transport = transport

    async def _read(self) -> Keys:
        if self.failure:
            self._url = next(self._urls)
        async with asyncio.timeout(self._tuning.jwks_timeout_s):
            return parse_key_set(await fetch(self._transport, self._url, MAX_JWKS_BYTES))
