"""Requests over pyqwest, and the responses of services; pyqwest's exceptions become failures of the service."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import httpx
import msgspec
from pyqwest import Headers, ReadError, RemoteProtocolError, Request, Response, TooManyRedirects, Transport, WriteError

from services.gateway.upstream.errors import BadAnswer, NotTrusted, TooLate, Unreachable, UpstreamFailed
from shared.errors import Forbidden, Unauthenticated

ERRORS = (ConnectionError, TimeoutError, RemoteProtocolError, ReadError, WriteError, TooManyRedirects)
"""The exceptions of pyqwest when an exchange fails."""

EXPECTED_TO_HAVE_BODIES = frozenset({"POST", "PUT", "PATCH"})
"""Methods whose requests state that they have no body (RFC 9110, section 8.6)."""


def failure_of(error: Exception) -> UpstreamFailed:
    """Convert one of `ERRORS` to the corresponding failure."""
    if isinstance(error, ConnectionError):  # also when connecting took too long
        return Unreachable(str(error))
    return TooLate(str(error)) if isinstance(error, TimeoutError) else BadAnswer(str(error))


class ServiceResponse:
    """A service's response once its head has arrived. The body is read once. The owner of the response closes it.

    `length`: of the body in bytes; None if the head does not contain it.
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
        """Yield the body as it arrives. Raises `UpstreamFailed`."""
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
        """Return data that has been read to the next reader."""
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
    """Return the body of a response. Raises `BadAnswer` as soon as it is larger than the limit."""
    body = bytearray()
    async for chunk in response.chunks():
        body += chunk
        if len(body) > max_bytes:
            raise BadAnswer(f"more than {max_bytes} bytes")
    return bytes(body)


async def fetch(transport: Transport, url: str, max_bytes: int) -> bytes:
    """Return the body of a successful plain GET. Raises `UpstreamFailed`."""
    response = await request(transport, "GET", url)
    try:
        if response.status_code != httpx.codes.OK:
            raise BadAnswer(f"status {response.status_code}")
        return await read_limited(response, max_bytes)
    finally:
        await response.aclose()


REFUSALS = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
ABOUT_THE_GATEWAY = (Unauthenticated.code, Forbidden.code)
"""A service's rejection of a token or an identity (`shared.http.identity`). Its rejection of a client's own
credentials, such as a password, has its own code."""
MAX_BYTES = 16 * 1024


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""


async def own_refusals(response: ServiceResponse, *, named: bool) -> ServiceResponse:
    """Return the response, unless it rejects the gateway: then close it. Raises `NotTrusted`.

    `named`: whether the gateway has named the user for whom it calls. It has verified that user's token, so a rejection
    without a code cannot concern the user.
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


@dataclass(frozen=True)
class Fetched:
    status_code: int
    body: bytes


class Fetcher:
    """Fetches small documents over one transport, at most `at_once` at a time."""

    def __init__(self, transport: Transport, *, at_once: int, max_bytes: int) -> None:
        self._transport = transport
        self._max_bytes = max_bytes
        self._places = asyncio.Semaphore(at_once)

    async def fetch(self, url: str, timeout_s: float) -> Fetched:
        """GET a URL, whatever the status of the response. Raises `UpstreamFailed`: `TooLate` after `timeout_s`, not
        counting the time that this call waits for its turn."""
        async with self._places:
            try:
                async with asyncio.timeout(timeout_s):
                    response = await request(self._transport, "GET", url)
                    try:
                        return Fetched(response.status_code, await read_limited(response, self._max_bytes))
                    finally:
                        await response.aclose()
            except TimeoutError as late:
                raise TooLate(f"no answer within {timeout_s:g} s") from late

    async def fetch_many(self, urls: Iterable[str], timeout_s: float) -> dict[str, Fetched | UpstreamFailed]:
        """GET every URL, each within `timeout_s`. A failure replaces its response and affects no other."""
        every = list(urls)
        found = await asyncio.gather(*(self._outcome(url, timeout_s) for url in every))
        return dict(zip(every, found, strict=True))

    async def _outcome(self, url: str, timeout_s: float) -> Fetched | UpstreamFailed:
        try:
            return await self.fetch(url, timeout_s)
        except UpstreamFailed as failure:
            return failure
