"""Opens a connection to a service for one request.

This module is not compiled: mypyc passes exceptions into coroutines in a way that is deprecated since Python 3.12.
"""

import asyncio
import ssl
from typing import NamedTuple, Protocol, TypeVar, cast

from services.gateway import metrics
from services.gateway.upstream.errors import Unreachable, UpstreamFailed


class Sent(Protocol):
    """A request that may fail before it is sent."""

    def fail(self, failure: UpstreamFailed) -> None: ...


SentT = TypeVar("SentT", bound=Sent, contravariant=True)


class Opening(Protocol[SentT]):
    """A connection that is being opened."""

    def abort(self) -> None: ...

    def send(self, request: SentT) -> None: ...


class Address(NamedTuple):
    """The address of a service, and the connect timeout. `name` is its label in metrics."""

    name: str
    host: str
    port: int
    secure: ssl.SSLContext | None
    timeout_s: float


async def connect(address: Address, connection: Opening[SentT], request: SentT) -> None:
    """Open the connection and send the request on it. A request that cannot be sent fails as `Unreachable`."""
    try:
        async with asyncio.timeout(address.timeout_s):
            await asyncio.get_running_loop().create_connection(
                lambda: cast("asyncio.Protocol", connection), address.host, address.port, ssl=address.secure
            )
    except asyncio.CancelledError:
        connection.abort()
        raise
    except TimeoutError:
        request.fail(Unreachable("no connection in time"))
    except (OSError, ssl.SSLError) as refused:
        request.fail(Unreachable(str(refused)))
    else:
        metrics.CONNECTIONS_OPENED.counts[(address.name,)] += 1
        connection.send(request)
