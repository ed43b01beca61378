"""Counts a password that a signed-in caller sends as the sign-in attempt that it is."""

import httpx
import msgspec
from starlette.types import Receive, Scope

from services.gateway.errors import ServiceUnavailable
from services.gateway.limits.limiter import Limiter
from services.gateway.limits.login_identity import ReadBody, named_in_json, read_body
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import BadAnswer, UpstreamFailed
from services.gateway.upstream.responses import read_limited
from shared.contracts.internal_api import CURRENT_PASSWORD
from shared.http.identity import Caller, identity_headers
from shared.observability.logs import get_logger

log = get_logger(__name__)

PROFILE = "/v1/me"
MAX_PROFILE_BYTES = 64 * 1024


class _Profile(msgspec.Struct):
    email: str


_decode = msgspec.json.Decoder(_Profile).decode


class PasswordAttempts:
    """Asks the users service for the caller's address: an account's attempts count together, by whatever route."""

    def __init__(self, users: Upstream, limits: Limiter, timeout_s: float) -> None:
        self._users = users
        self._limits = limits
        self._timeout_s = timeout_s

    async def count(self, scope: Scope, receive: Receive, caller: Caller) -> Receive:
        """How the body is received from then on. Raises `RateLimited`, and `InvalidInput` for an unreadable body."""
        if not self._limits.counts_accounts:
            return receive
        messages = await read_body(receive, self._timeout_s)
        if CURRENT_PASSWORD in named_in_json(messages):
            await self._limits.attempt(scope, await self._address(caller))
        return ReadBody(messages, receive)

    async def _address(self, caller: Caller) -> str:
        try:
            response = await self._users.send("GET", PROFILE, identity_headers(caller), b"", self._timeout_s)
            try:
                body = await read_limited(response, MAX_PROFILE_BYTES)
            finally:
                await response.aclose()
            if response.status_code != httpx.codes.OK:
                raise BadAnswer(f"status {response.status_code}")
            return _decode(body).email
        except (UpstreamFailed, msgspec.DecodeError) as failure:
            log.warning("a password attempt cannot be counted", reason=repr(failure))
            raise ServiceUnavailable from failure
