"""The account of a sign-in, from its body, before the users service receives it."""

import asyncio
import hashlib

import msgspec
from email_validator import EmailNotValidError, validate_email
from python_multipart.exceptions import FormParserError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message, Receive, Scope

from services.gateway.errors import BodyTooSlow
from shared.errors import InvalidInput

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
