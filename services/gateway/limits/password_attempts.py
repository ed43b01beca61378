"""Counts attempts at the password of an account: sign-ins, and passwords that a signed-in caller sends.

The account is read from the body, before the users service receives it.
"""

import asyncio
import hashlib

import httpx
import msgspec
from email_validator import EmailNotValidError, validate_email
from python_multipart.exceptions import FormParserError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from services.gateway.errors import BodyTooSlow, ServiceUnavailable
from services.gateway.limits.limiter import Limiter
from services.gateway.limits.load_shedding import IDENTITY_LINKS, IDENTITY_PROVIDERS, PASSWORD_RESETS
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import BadAnswer, UpstreamFailed
from services.gateway.upstream.responses import read_limited
from shared.contracts.internal_api import CURRENT_PASSWORD
from shared.errors import InvalidInput
from shared.http.identity import Caller, identity_headers
from shared.observability.logs import get_logger

log = get_logger(__name__)

PROFILE = "/v1/me"
MAX_PROFILE_BYTES = 64 * 1024
MAX_LOGIN_BYTES = 16 * 1024
MAX_FIELDS = 20
_JSON = "application/json"
UNREADABLE = (
    ClientDisconnect,
    FormParserError,
    HTTPException,
    MultiPartException,
    RecursionError,
    UnicodeDecodeError,
    msgspec.DecodeError,
)


class _Profile(msgspec.Struct):
    email: str


_decode = msgspec.json.Decoder(_Profile).decode


class PasswordAttempts:
    """An account's attempts count together, on every route. The address of a signed-in caller comes from `users`, the
    service that has the accounts."""

    def __init__(self, users: Upstream | None, limits: Limiter, timeout_s: float) -> None:
        self.users = users
        self._limits = limits
        self._timeout_s = timeout_s

    async def sign_in(self, scope: Scope, receive: Receive) -> Receive:
        """Count a sign-in, against its address and its account; return the `receive` of the body. With an identity
        provider the account is not known yet. Raises `RateLimited`, and `InvalidInput` for an unreadable body."""
        await self._limits.count_address(scope, receive)
        if not self._limits.counts_accounts or not _names_account(scope["path"]):
            return receive
        messages = await read_body(receive, self._timeout_s)
        await self._limits.attempt(scope, digest(await account_in(scope, ReadBody(messages, receive))))
        return ReadBody(messages, receive)

    async def recover(self, scope: Scope, receive: Receive) -> Receive:
        """Count the use of a link, or the request of a link, against its address, and a requested reset against the
        account that it names, whether or not that exists. Returns and raises like `sign_in`."""
        await self._limits.count_address(scope, receive)
        if scope["path"] != PASSWORD_RESETS or not self._limits.counts_accounts:
            return receive
        messages = await read_body(receive, self._timeout_s)
        await self._limits.count_reset(scope, digest(email_in(messages)))
        return ReadBody(messages, receive)

    async def count(self, scope: Scope, receive: Receive, caller: Caller) -> Receive:
        """Count the caller's own password, if the body contains it. Returns and raises like `sign_in`."""
        if not self._limits.counts_accounts:
            return receive
        messages = await read_body(receive, self._timeout_s)
        if CURRENT_PASSWORD in named_in_json(messages):
            await self._limits.attempt(scope, digest(await self._address(caller)))
        return ReadBody(messages, receive)

    async def link(self, scope: Scope, email: str) -> None:
        """Count an attempt at the password of the account with this address. Raises `RateLimited`."""
        await self._limits.attempt(scope, digest(email))

    async def _address(self, caller: Caller) -> str:
        if self.users is None:
            raise ServiceUnavailable
        try:
            response = await self.users.send("GET", PROFILE, identity_headers(caller), b"", self._timeout_s)
            try:
                body = await read_limited(response, MAX_PROFILE_BYTES)
            finally:
                await response.aclose()
            if response.status_code != httpx.codes.OK:
                raise BadAnswer(f"status {response.status_code}")
            return _decode(body).email
        except (UpstreamFailed, msgspec.DecodeError) as failure:
            log.warning("password attempt cannot be counted", reason=repr(failure))
            raise ServiceUnavailable from failure


def _names_account(path: str) -> bool:
    return path != IDENTITY_LINKS and not path.startswith(IDENTITY_PROVIDERS)


class JsonLogin(msgspec.Struct):
    email: str = ""


class ReadBody:
    """A body that has been read, to be received again by the next reader."""

    def __init__(self, messages: list[Message], receive: Receive) -> None:
        self._messages = list(messages)
        self._receive = receive

    async def __call__(self) -> Message:
        return self._messages.pop(0) if self._messages else await self._receive()


async def read_body(receive: Receive, timeout_s: float) -> list[Message]:
    """Read up to the body's end, or the client's disconnect. Raises `BodyTooSlow`, or 413 as an `HTTPException`."""
    messages: list[Message] = []
    size = 0
    try:
        async with asyncio.timeout(timeout_s):
            while not messages or messages[-1].get("more_body"):
                messages.append(await receive())
                size += len(messages[-1].get("body", b""))
                if size > MAX_LOGIN_BYTES:
                    raise HTTPException(413)
    except TimeoutError as slow:
        raise BodyTooSlow from slow
    return messages


async def account_in(scope: Scope, body: ReadBody) -> str:
    """Return the account that the body of a sign-in names. Raises `InvalidInput`: a sign-in that cannot be counted
    is refused."""
    request = Request(scope, body)
    try:
        if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == _JSON:
            named, field = [msgspec.json.decode(await request.body(), type=JsonLogin).email], "email"
        else:
            async with request.form(max_files=0, max_fields=MAX_FIELDS) as form:
                named, field = [str(name) for name in form.getlist("username")], "username"
    except UNREADABLE as broken:
        raise InvalidInput.of("body", "is not a valid sign-in") from broken
    if len(named) != 1 or not named[0]:
        raise InvalidInput.of(field, "must be given once")
    return named[0]


def email_in(messages: list[Message]) -> str:
    """Return the member `email` of a JSON object. Raises `InvalidInput`."""
    try:
        return msgspec.json.decode(b"".join(message.get("body", b"") for message in messages), type=JsonLogin).email
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as broken:
        raise InvalidInput.of("body", "must be a JSON object with an email") from broken


def named_in_json(messages: list[Message]) -> frozenset[str]:
    """Return the names in a body that is a JSON object; none for an empty one. Raises `InvalidInput`."""
    body = b"".join(message.get("body", b"") for message in messages)
    if not body.strip():
        return frozenset()
    try:
        return frozenset(msgspec.json.decode(body, type=dict[str, msgspec.Raw]))
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as broken:
        raise InvalidInput.of("body", "must be a JSON object") from broken


def digest(account: str) -> str:
    """Return the same key for every spelling of an address; hashed, because a shared store need not know the
    address."""
    try:
        written = validate_email(account, check_deliverability=False).normalized
    except EmailNotValidError:
        written = account
    return hashlib.sha256(written.casefold().encode("utf-8", "surrogatepass")).hexdigest()[:32]
