"""A connection to a receiver with a limit on the bytes read, which are read in small pieces.

All bytes count (interim responses, header lines, chunk extensions, trailers). After each piece the other tasks of the
process run, even if the next one has already arrived.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpcore
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from services.worker.webhooks.address import AddressPolicy, AddressRefused, Resolve, Target, Unresolved
from services.worker.webhooks.settings import WebhookTuning

PIECE_BYTES = 4096
"""The size of a piece. The parser takes up to 10 ms for that many bytes of interim responses."""


class AnswerTooLong(httpcore.ReadError):
    """The receiver has reached the limit of one response and continues to send."""


class MeteredStream(AsyncNetworkStream):
    """Raises `AnswerTooLong` if more than `limit` bytes are read; the overhead of TLS does not count."""

    def __init__(self, stream: AsyncNetworkStream, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self._left = limit

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  httpcore's signature
        if self._left <= 0:
            raise AnswerTooLong
        await asyncio.sleep(0)  # bytes that TLS has already decrypted are read without a wait
        piece = await self._stream.read(min(max_bytes, PIECE_BYTES, self._left), timeout)
        self._left -= len(piece)
        return piece

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncNetworkStream:
        return MeteredStream(await self._stream.start_tls(ssl_context, server_hostname, timeout), self._limit)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class MeteredNetwork(AsyncNetworkBackend):
    """Connects like `network`; `limit` is per connection."""

    def __init__(self, network: AsyncNetworkBackend, limit: int) -> None:
        self._network = network
        self._limit = limit

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        stream = await self._network.connect_tcp(host, port, timeout, local_address, socket_options)
        return MeteredStream(stream, self._limit)


MAX_ADDRESSES = 4
ANSWER_BYTES = 4096
"""The part of a response body that is read and discarded before the connection is closed."""
HEAD_BYTES = 16 * 1024
"""The limit on everything before the body of a response: interim responses, the final head, the framing."""
DISCARD_S = 2.0
"""How long the body of a response is read."""
FAILED = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


class CallFailed(Exception):
    """There is no response; the message is for the owner of the webhook."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`retry_after` is the header, unparsed."""

    status: int
    retry_after: str | None


class CheckedNetwork(AsyncNetworkBackend):
    """Connects by name to one of the name's addresses, all of which must be allowed."""

    def __init__(self, resolve: Resolve, policy: AddressPolicy) -> None:
        self._resolve = resolve
        self._policy = policy
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self.addresses(host, port)
                for address in addresses[:MAX_ADDRESSES]:
                    with suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                        patience = timeout / min(len(addresses), MAX_ADDRESSES) if timeout else None
                        return await self._network.connect_tcp(address, port, patience, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout from None
        raise httpcore.ConnectError

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of a name or an address. Raises `AddressRefused` if one of them is blocked, or
        `Unresolved`."""
        found = [host] if Target("", host, port, "").is_address else await self._resolve(host)
        return [str(self._policy.check(address, port)) for address in found]


class Client:
    def __init__(self, pool: httpcore.AsyncConnectionPool, tuning: WebhookTuning) -> None:
        self._pool = pool
        self._tuning = tuning

    @classmethod
    @asynccontextmanager
    async def open(
        cls, network: AsyncNetworkBackend, tuning: WebhookTuning, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator["Client"]:
        async with httpcore.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=MeteredNetwork(network, HEAD_BYTES + ANSWER_BYTES),
        ) as pool:
            yield cls(pool, tuning)

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises `CallFailed` if no final status arrives."""
        deadline = asyncio.get_running_loop().time() + self._tuning.webhook_total_timeout_s
        async with AsyncExitStack() as stack:
            response = await self._head(stack, self._request(target, headers, body), deadline)
            await self._discard(response, deadline)
        fields = {name.lower(): value for name, value in response.headers}
        retry_after = fields.get(b"retry-after")
        return Answer(response.status, retry_after.decode("latin-1") if retry_after else None)

    def _request(self, target: Target, headers: Mapping[str, str], body: bytes) -> httpcore.Request:
        url = httpcore.URL(
            scheme=target.scheme.encode(), host=target.host.encode(), port=target.port, target=target.path.encode()
        )
        connect_s, read_s = self._tuning.webhook_connect_timeout_s, self._tuning.webhook_read_timeout_s
        patience = {"connect": connect_s, "read": read_s, "write": read_s}
        sent = {"Host": target.authority, "Content-Length": str(len(body)), "Connection": "close"} | dict(headers)
        return httpcore.Request("POST", url, headers=list(sent.items()), content=body, extensions={"timeout": patience})

    async def _head(self, stack: AsyncExitStack, request: httpcore.Request, deadline: float) -> httpcore.Response:
        """Return once the final status has arrived; the stack closes the response. Raises `CallFailed`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._pool.handle_async_request(request)
        except (TimeoutError, httpcore.TimeoutException):
            raise CallFailed(f"no answer after {time.monotonic() - began:.1f} s") from None
        except (AddressRefused, Unresolved) as refused:
            raise CallFailed(str(refused)) from None
        except AnswerTooLong:
            raise CallFailed("too much data before the status of the response") from None
        except FAILED as failed:
            raise CallFailed(_said(failed)) from None
        stack.push_async_callback(response.aclose)
        return response

    async def _discard(self, response: httpcore.Response, deadline: float) -> None:
        """Reads a little, so that the receiver is not cut off. The end of the body is irrelevant."""
        left = ANSWER_BYTES
        with suppress(TimeoutError, httpcore.TimeoutException, *FAILED):
            async with asyncio.timeout_at(min(deadline, asyncio.get_running_loop().time() + DISCARD_S)):
                async for chunk in response.aiter_stream():
                    left -= len(chunk)
                    if left <= 0:
                        return


def _said(failed: Exception) -> str:
    cause: BaseException | None = failed
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate is not accepted: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return "TLS negotiation failed"
        cause = cause.__cause__ or cause.__context__
    if isinstance(failed, httpcore.ConnectError):
        return "cannot connect"
    return "the connection was closed, or the response was not HTTP"
