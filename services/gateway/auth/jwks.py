"""The public keys of the users service, kept up to date in the background."""

import asyncio
import json
import time
from itertools import cycle

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from pyqwest import Transport

from services.gateway import metrics
from services.gateway.errors import KeysUnavailable
from services.gateway.settings import Settings, Tuning
from services.gateway.upstream.errors import UpstreamFailed
from services.gateway.upstream.responses import fetch
from shared.http.tokens import InvalidToken, public_keys
from shared.observability.logs import get_logger

log = get_logger(__name__)

MAX_JWKS_BYTES = 256 * 1024

Keys = dict[str, Ed25519PublicKey]


class UnusableKeySet(Exception):
    """The fetched document is not a key set, or is empty."""


def parse_key_set(body: bytes) -> Keys:
    """Return the keys of a JWKS by id. Raises `UnusableKeySet`."""
    try:
        keys = public_keys(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as broken:
        raise UnusableKeySet(repr(broken)) from broken
    if not keys:
        raise UnusableKeySet("no Ed25519 keys")
    return keys


class KeySet:
    """The most recently fetched keys. A failed fetch changes nothing."""

    def __init__(self, transport: Transport, settings: Settings, tuning: Tuning) -> None:
        self._transport = transport
        self._tuning = tuning
        self._urls = cycle(settings.jwks_url.split(","))
        self._url = next(self._urls)
        self._fetching = asyncio.Lock()
        self._asked_at = float("-inf")
        self.keys: Keys = {}
        self.generation = 0
        """Increases with every change of the keys."""

    async def key(self, kid: str) -> Ed25519PublicKey:
        """Return the key with that id; an unknown one causes a fetch, at most one every `jwks_unknown_key_pause_s`."""
        if kid not in self.keys:
            async with self._fetching:
                if kid not in self.keys and self._may_ask():
                    await self._fetch()
        if not self.keys:
            raise KeysUnavailable
        try:
            return self.keys[kid]
        except KeyError as unknown:
            raise InvalidToken("unknown key id") from unknown

    async def check(self) -> None:
        """For readiness. Raises `KeysUnavailable`."""
        if not self.keys:
            raise KeysUnavailable

    async def keep_fresh(self) -> None:
        """Fetch periodically. Runs until cancelled."""
        while True:
            async with self._fetching:
                fetched = await self._fetch()
            await asyncio.sleep(self._tuning.jwks_refresh_s if fetched else self._tuning.jwks_retry_s)

    def _may_ask(self) -> bool:
        return time.monotonic() >= self._asked_at + self._tuning.jwks_unknown_key_pause_s

    async def _fetch(self) -> bool:
        self._asked_at = time.monotonic()
        try:
            async with asyncio.timeout(self._tuning.jwks_timeout_s):
                found = parse_key_set(await fetch(self._transport, self._url, MAX_JWKS_BYTES))
        except (UpstreamFailed, UnusableKeySet, TimeoutError) as failure:
            metrics.JWKS_FAILURES.inc()
            log.warning("the key set cannot be fetched", url=self._url, reason=repr(failure))
            self._url = next(self._urls)
            return False
        if found.keys() != self.keys.keys():
            self.generation += 1
            log.info("key set changed", kids=sorted(found))
        self.keys = found
        metrics.JWKS_FETCHED.set_to_current_time()
        return True
