"""Forwards a request to its service and the response back, without holding a large body of either in memory.

Report downloads are forwarded, too; they end with the session of their caller.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Send

from services.gateway.errors import BodyTooSlow, OutcomeUnknown, ServiceUnavailable
from services.gateway.proxy.headers import SMALL_BODY_BYTES, response_headers
from services.gateway.upstream.client import Body, HeaderList, Upstream
from services.gateway.upstream.errors import NotTrusted, TooLate, Unreachable, UpstreamFailed
from services.gateway.upstream.responses import ServiceResponse
from shared.http.identity import Caller
from shared.observability.logs import get_logger

log = get_logger(__name__)

SAFE_METHODS = frozenset({"GET", "HEAD"})

LISTEN_AFTER_S = 0.05
"""When to start watching for the client's disconnect. Watching needs a task, and most responses come sooner."""


class ResponseCutOff(Exception):
    """A response cannot be finished after its head has been sent, because the service broke off or the client
    stopped reading; the only option is to break off, too."""


class ClientBody(Body):
    """The client's request body as it arrives, and notice of the client's disconnect. `idle_s` is the longest time
    without data.

    A `small` body is read before the request is forwarded: a stream costs pyqwest more than everything else.
    """

    def __init__(self, receive: Receive, *, expected: bool, small: bool = False, idle_s: float | None = None) -> None:
        self._receive = receive
        self._small = small
        self._idle_s = idle_s
        self._ended = asyncio.Event()
        self.failure: Exception | None = None
        """Why the body could not be read: the client disconnected, or sent too much."""
        if not expected:
            self._ended.set()

    @property
    def ended(self) -> bool:
        return self._ended.is_set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while not self.ended:
                message = await self._next()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                if chunk := message.get("body"):
                    yield chunk
                if not message.get("more_body"):
                    self._ended.set()
        except Exception as failure:
            self.failure = failure
            raise

    async def content(self, within_s: float) -> "bytes | ClientBody":
        """Return what to send: a small body as a whole, another as a stream. Raises `BodyTooSlow`,
        `ClientDisconnect`, and the errors of refused bodies."""
        if self.ended:
            return b""
        if not self._small:
            return self
        try:
            async with asyncio.timeout(within_s):
                return b"".join([chunk async for chunk in self])
        except TimeoutError as late:
            raise BodyTooSlow from late

    async def _next(self) -> Message:
        if self._idle_s is None:
            return await self._receive()
        try:
            async with asyncio.timeout(self._idle_s):
                return await self._receive()
        except TimeoutError as silent:
            raise BodyTooSlow from silent

    async def client_gone(self) -> None:
        """Return when the client has disconnected."""
        await self._ended.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass


@dataclass(frozen=True)
class Outgoing:
    """A request for a service; `target` is path and query."""

    method: str
    target: str
    headers: HeaderList
    body: ClientBody


@dataclass(frozen=True)
class Effect:
    """The effect of a service's success here, before the client receives it.

    `carried_through`: the request is finished for its sake even if the client has disconnected.
    """

    run: Callable[[], Awaitable[None]]
    carried_through: bool


UPLOAD_TIMEOUT_S = 900.0
"""From the first byte of an upload to the head of its response."""


@dataclass(frozen=True)
class ForwardTimeouts:
    """`head_s`: until the service responds. `stall_s`: how long the client may stop reading the response."""

    head_s: float
    stall_s: float


async def forward(
    upstream: Upstream, request: Outgoing, send: Send, timeouts: ForwardTimeouts, effect: Effect | None
) -> None:
    """Forward the request, and return the response; stop if the client disconnects, unless the effect must take
    place."""
    exchange = _exchange(upstream, request, send, timeouts, effect)
    try:
        await (exchange if effect and effect.carried_through else _while_client_waits(request.body, exchange))
    except ClientDisconnect:
        log.info("client disconnected")


async def _while_client_waits(body: ClientBody, exchange: Coroutine[Any, Any, None]) -> None:
    """Finish the exchange, unless the client disconnects before."""
    loop = asyncio.get_running_loop()
    left = asyncio.timeout(None)
    listening: asyncio.Task[None] | None = None

    async def listen() -> None:
        await body.client_gone()
        left.reschedule(loop.time())

    def start() -> None:
        nonlocal listening
        listening = loop.create_task(listen())

    timer = loop.call_later(LISTEN_AFTER_S, start)
    try:
        async with left:
            await exchange
    except TimeoutError:
        if not left.expired():
            raise
    finally:
        timer.cancel()
        if listening is not None:
            listening.cancel()
            listening = None  # a cancelled task refers to its frame, which would refer to it


async def _exchange(
    upstream: Upstream, request: Outgoing, send: Send, timeouts: ForwardTimeouts, effect: Effect | None
) -> None:
    response = await ask(upstream, request, timeouts.head_s)
    try:
        if effect and response.is_success:
            await effect.run()
        await relay(response, send, timeouts.stall_s)
    finally:
        await response.aclose()


async def ask(upstream: Upstream, request: Outgoing, timeout_s: float) -> ServiceResponse:
    """Return the service's response, once its head has arrived; the caller closes it. Raises the error for the
    client."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    content = await request.body.content(timeout_s)
    try:
        return await upstream.send(request.method, request.target, request.headers, content, ends - loop.time())
    except (Unreachable, NotTrusted) as failure:
        raise ServiceUnavailable from failure
    except UpstreamFailed as failure:
        if request.body.failure:
            raise request.body.failure from failure
        if isinstance(failure, TooLate) and not request.body.ended:
            raise BodyTooSlow from failure
        log.warning("no response from the service", target=request.target, reason=repr(failure))
        if request.method in SAFE_METHODS:
            raise ServiceUnavailable("The service did not respond in time; try again.") from failure
        raise OutcomeUnknown(_advice()) from failure


def _advice() -> str:
    return (
        "The service did not answer in time, so whether the request took effect is unknown. "
        "Check before trying again; if the route supports an Idempotency-Key, repeat it with the same key."
    )


async def relay(response: ServiceResponse, send: Send, stall_s: float) -> None:
    """Send a response to the client. Raises `ResponseCutOff`.

    The head of a small response waits for its body, so that both leave in one write.
    """
    headers = response_headers(response.headers)
    head: Message = {"type": "http.response.start", "status": response.status_code, "headers": headers}
    head_waits = response.length is not None and response.length <= SMALL_BODY_BYTES
    if not head_waits:
        await send(head)
    sent = 0
    try:
        async for chunk in response.chunks():
            sent += len(chunk)
            async with asyncio.timeout(stall_s):
                if head_waits:
                    head_waits = False
                    await send(head)
                await send({"type": "http.response.body", "body": chunk, "more_body": sent != response.length})
    except (UpstreamFailed, TimeoutError) as failure:
        if head_waits:
            await send(head)
            await asyncio.sleep(0)  # uvloop writes at the end of an iteration, and aborting discards what waits for it
        raise ResponseCutOff(repr(failure)) from failure
    if head_waits:
        await send(head)
    if not sent or sent != response.length:
        await send({"type": "http.response.body", "body": b""})


class Transfers:
    def __init__(self) -> None:
        self._ends: dict[asyncio.Timeout, Caller] = {}

    @asynccontextmanager
    async def of(self, caller: Caller) -> AsyncIterator[None]:
        """Raises `ResponseCutOff` if the caller's session ends within the block."""
        end = asyncio.timeout(None)
        try:
            async with end:
                self._ends[end] = caller
                yield
        except TimeoutError as error:
            if not end.expired():
                raise
            raise ResponseCutOff("the session has ended") from error
        finally:
            self._ends.pop(end, None)

    def end(self, has_ended: Callable[[Caller], bool]) -> None:
        """Break off the downloads of callers whose session has ended."""
        for end in [end for end, caller in self._ends.items() if has_ended(caller)]:
            del self._ends[end]
            end.reschedule(asyncio.get_running_loop().time())
