"""Reads what services answer; whatever pyqwest raises becomes a failure of the service."""

from collections.abc import AsyncIterator, Iterable

import httpx
import msgspec
from pyqwest import Headers, ReadError, RemoteProtocolError, Request, Response, TooManyRedirects, Transport, WriteError

from services.gateway.upstream.errors import BadAnswer, NotTrusted, TooLate, Unreachable, UpstreamFailed
from shared.errors import Forbidden, Unauthenticated

ERRORS = (ConnectionError, TimeoutError, RemoteProtocolError, ReadError, WriteError, TooManyRedirects)
"""What pyqwest raises when an exchange fails."""

EXPECTED_TO_HAVE_BODIES = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests say so when they have none (RFC 9110, section 8.6)."""


def failure_of(error: Exception) -> UpstreamFailed:
    """One of `ERRORS` as the failure that it is."""
    if isinstance(error, ConnectionError):  # also when connecting took too long
        return Unreachable(str(error))
    return TooLate(str(error)) if isinstance(error, TimeoutError) else BadAnswer(str(error))


class ServiceResponse:
    """A service's response once its head has come. The body is read once. Whoever has the response closes it.

    `length`: of the body in bytes; None where the head does not say.
    """

    __slots__ = ("_body", "_response", "headers", "length", "status_code")

    def __init__(self, response: Response) -> None:
        self.status_code = response.status
        self.headers = [(name.encode(), value.encode()) for name, value in response.headers.items()]
        self.length = _length(self.headers)
        self._response: Response | None = response
        self._body = b""

    @property
    def is_success(self) -> bool:
        return httpx.codes.is_success(self.status_code)

    @property
    def is_server_error(self) -> bool:
        return httpx.codes.is_server_error(self.status_code)

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises `UpstreamFailed`."""
        if self._body:
            yield self._body
        response, received = self._response, 0
        if response is not None and self.length != 0:
            try:
                async for chunk in response.content:
                    received += len(chunk)
                    yield bytes(chunk)
                    if received == self.length:  # waiting for the end costs as much as waiting for a chunk
                        break
            except ERRORS as error:
                raise failure_of(error) from error
        self._response = None

    def put_back(self, body: bytes) -> None:
        """Have the next reader read this, which has been read already."""
        self._body = body

    async def aclose(self) -> None:
        """Close the connection, unless the body has been read to its end."""
        if self._response is not None:
            await self._response.aclose()


def _length(headers: list[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return None


async def request(
    transport: Transport,
    method: str,
    url: str,
    headers: Iterable[tuple[str, str]] = (),
    content: bytes | AsyncIterator[bytes] = b"",
) -> ServiceResponse:
    """Send a request; the caller closes the response. Raises `UpstreamFailed`."""
    try:
        request_headers = Headers(headers)
        if content == b"" and method in EXPECTED_TO_HAVE_BODIES:
            request_headers["content-length"] = "0"
        return ServiceResponse(await transport.execute(Request(method, url, request_headers, content)))
    except ValueError as malformed:
        raise BadAnswer(str(malformed)) from malformed
    except ERRORS as error:
        raise failure_of(error) from error


async def read_limited(response: ServiceResponse, max_bytes: int) -> bytes:
    """The body of a response. Raises `BadAnswer` as soon as it is larger than that."""
    body = bytearray()
    async for chunk in response.chunks():
        body += chunk
        if len(body) > max_bytes:
            raise BadAnswer(f"more than {max_bytes} bytes")
    return bytes(body)


async def fetch(transport: Transport, url: str, max_bytes: int) -> bytes:
    """The body of a plain GET that succeeds. Raises `UpstreamFailed`."""
    response = await request(transport, "GET", url)
    try:
        if response.status_code != httpx.codes.OK:
            raise BadAnswer(f"status {response.status_code}")
        return await read_limited(response, max_bytes)
    finally:
        await response.aclose()


REFUSALS = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
ABOUT_THE_GATEWAY = (Unauthenticated.code, Forbidden.code)
"""What a service says of a token or an identity that it does not take (`shared.http.identity`). What it says of a
client's own credentials, such as a password, has a code of its own."""
MAX_BYTES = 16 * 1024


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""


async def own_refusals(response: ServiceResponse, *, named: bool) -> ServiceResponse:
    """The response, unless it refuses the gateway: then it is closed. Raises `NotTrusted`.

    `named`: whether the gateway has said for which user it calls. It has checked that user's token, so that a refusal
    without a code cannot be about them.
    """
    if response.status_code not in REFUSALS:
        return response
    try:
        body = await read_limited(response, MAX_BYTES)
    finally:
        await response.aclose()
    if (code := _code(body)) in ABOUT_THE_GATEWAY or (named and not code):
        raise NotTrusted(f"status {response.status_code}")
    response.put_back(body)
    return response


def _code(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Problem).code
    except (msgspec.DecodeError, RecursionError):
        return ""
