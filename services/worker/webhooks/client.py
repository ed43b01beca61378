"""The HTTP client of webhooks: connects to nothing but addresses that it has resolved and checked itself.

The status decides a call. What follows it is read for a moment, and thrown away: whether it comes, stops or never ends
changes nothing. What a receiver may send at all is bounded (`metered.py`), so that none keeps the process busy.

There is no second resolution between the check and the connection, so a name that changes meanwhile gains nothing;
the certificate is still verified against the name. No redirect is followed, no proxy of the environment used, no
cookie kept, and no connection: each call resolves and checks anew.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import httpcore
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from services.worker.webhooks.address import AddressPolicy, AddressRefused
from services.worker.webhooks.metered import AnswerTooLong, MeteredNetwork
from services.worker.webhooks.resolver import Resolve, Unresolved
from services.worker.webhooks.target import Target

MAX_ADDRESSES = 4
HEAD_BYTES = 16 * 1024
"""All that a receiver may send before the body of its answer: interim responses, the final head, the framing."""
DISCARD_S = 2.0
"""How long the body of an answer is read."""
FAILED = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol)


class CallFailed(Exception):
    """There is no answer; says why, as the owner of the webhook may read it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """`retry_after` is the header, as it came."""

    status: int
    retry_after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Seconds, and bytes of an answer's body that are read before the connection is closed."""

    connect_s: float
    read_s: float
    total_s: float
    answer_bytes: int


class CheckedNetwork(AsyncNetworkBackend):
    """Connects by name to one of the name's addresses, all of which must be acceptable."""

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
        """Of a name or an address. Raises `AddressRefused` when one of them is, or `Unresolved`."""
        found = [host] if Target("", host, port, "").is_address else await self._resolve(host)
        return [str(self._policy.check(address, port)) for address in found]


class Client:
    def __init__(self, pool: httpcore.AsyncConnectionPool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits

    @classmethod
    @asynccontextmanager
    async def open(
        cls, network: AsyncNetworkBackend, limits: Limits, tls: ssl.SSLContext | None = None
    ) -> AsyncIterator["Client"]:
        async with httpcore.AsyncConnectionPool(
            ssl_context=tls or ssl.create_default_context(),
            max_connections=None,
            max_keepalive_connections=0,
            network_backend=MeteredNetwork(network, HEAD_BYTES + limits.answer_bytes),
        ) as pool:
            yield cls(pool, limits)

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises `CallFailed` when no final status comes."""
        deadline = asyncio.get_running_loop().time() + self._limits.total_s
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
        patience = {"connect": self._limits.connect_s, "read": self._limits.read_s, "write": self._limits.read_s}
        sent = {"Host": target.authority, "Content-Length": str(len(body)), "Connection": "close"} | dict(headers)
        return httpcore.Request("POST", url, headers=list(sent.items()), content=body, extensions={"timeout": patience})

    async def _head(self, stack: AsyncExitStack, request: httpcore.Request, deadline: float) -> httpcore.Response:
        """Once the final status has come; the stack closes the response. Raises `CallFailed`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout_at(deadline):
                response = await self._pool.handle_async_request(request)
        except (TimeoutError, httpcore.TimeoutException):
            raise CallFailed(f"no answer after {time.monotonic() - began:.1f} s") from None
        except (AddressRefused, Unresolved) as refused:
            raise CallFailed(str(refused)) from None
        except AnswerTooLong:
            raise CallFailed("too much was sent before the status of the answer") from None
        except FAILED as failed:
            raise CallFailed(_said(failed)) from None
        stack.push_async_callback(response.aclose)
        return response

    async def _discard(self, response: httpcore.Response, deadline: float) -> None:
        """So that a receiver that writes a little is not cut off. How the body ends does not matter."""
        left = self._limits.answer_bytes
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
            return "TLS cannot be agreed upon"
        cause = cause.__cause__ or cause.__context__
    if isinstance(failed, httpcore.ConnectError):
        return "cannot connect"
    return "the connection was closed, or what came was not HTTP"
