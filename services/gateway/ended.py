"""Reads from the users service which sessions and users have ended, whatever ended them: a new password, another role,
a stolen refresh token, a sign-out at another gateway. It keeps them in its database, so the loss of Redis loses none.
"""

import asyncio

import msgspec

from services.gateway import metrics
from services.gateway.reading import read_limited
from services.gateway.revocation import Revocations
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import BadAnswer, UpstreamFailed
from shared import revocations
from shared.logs import get_logger

log = get_logger(__name__)

EVERY_S = 0.4
"""A revocation must hold on every gateway within a second."""
TIMEOUT_S = 2.0
MAX_BYTES = 1024 * 1024

_decode = msgspec.json.Decoder(revocations.Revocations).decode


class NotRead(Exception):
    """A token whose session has ended may be accepted here."""


class EndedSessions:
    def __init__(self, users: Upstream, revoked: Revocations) -> None:
        self._users = users
        self._revoked = revoked
        self._after = 0
        self._reading = asyncio.Lock()
        self._failure: str | None = None
        """Why the last reading failed."""

    async def check(self) -> None:
        """For readiness. Raises `NotRead`."""
        if self._failure:
            raise NotRead(f"the users service does not say which sessions have ended: {self._failure}")

    async def follow(self) -> None:
        """Keep `Revocations` complete, until cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(EVERY_S)

    async def read(self) -> None:
        """Read all that has ended so far. A failure is logged and counted; the next reading makes up for it."""
        try:
            async with asyncio.timeout(TIMEOUT_S), self._reading:
                while await self._page():
                    pass
        except (UpstreamFailed, TimeoutError) as failure:
            metrics.REVOCATION_FAILURES.labels("users").inc()
            if not self._failure:
                log.warning("revocations cannot be read from the users service", reason=repr(failure))
            self._failure = repr(failure)
        else:
            self._failure = None

    async def _page(self) -> bool:
        """Whether there is another."""
        found = await self._ask()
        for session in found.sessions:
            await self._revoked.hear(session, "session")
        for user in found.users:
            await self._revoked.hear(user, "user")
        more = len(found.sessions) + len(found.users) >= revocations.MAX_PAGE and found.cursor > self._after
        self._after = found.cursor
        return more

    async def _ask(self) -> revocations.Revocations:
        target = f"{revocations.PATH}?after={self._after}"
        response = await self._users.send("GET", target, [], b"", TIMEOUT_S)
        try:
            body = await read_limited(response, MAX_BYTES)
        finally:
            await response.aclose()
        try:
            return _decode(body)
        except msgspec.DecodeError as broken:
            raise BadAnswer(f"status {response.status_code}: {broken}") from broken
