"""A service as the gateway's calls meet it, without sockets: for tests on a clock of their own."""

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, cast

from pyqwest import Transport

from services.gateway.panels import ServiceSpec
from services.gateway.settings import DEFAULTS, Tuning
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import UpstreamFailed
from services.gateway.upstream.http1 import Cancellable, Receiver
from services.gateway.upstream.resilience import ServiceCalls
from services.gateway.upstream.timers import Timers
from shared.http.tokens import ServiceTokens
from shared.observability.telemetry import Origin
from tests.support.gateway.declared import PANELS
from tests.support.virtual import Clock

_KINDS = {panel.name: panel.kind for panel in PANELS}
SECRET = "an internal secret that is long enough"


class Exchange:
    """One exchange, and the means to end it. `told_s` is the time that the service is given."""

    def __init__(
        self, query: bytes, origin: Origin, told_s: float, replica: int, max_bytes: int, receiver: Receiver
    ) -> None:
        asked = json.loads(query)
        self.panels: list[str] = asked["panels"]
        self.user_ids: list[str] = asked["ids"]
        self.origin = origin
        self.told_s = told_s
        self.replica = replica
        self.max_bytes = max_bytes
        self.is_cancelled = False
        self._receiver: Receiver | None = receiver

    @property
    def is_over(self) -> bool:
        return self._receiver is None

    def cancel(self) -> None:
        if not self.is_over:
            self.is_cancelled = True
            self._receiver = None

    def answer(self, content: Any = None) -> None:
        """Answer each panel of each user with this content: as an object's field or a list's item."""
        panel = {"object": {"is": content}, "list": [content]}
        self.reply({name: {"items": dict.fromkeys(self.user_ids, panel[_KINDS[name]])} for name in self.panels})

    def reply(self, panels: Mapping[str, Any]) -> None:
        """Answer with what a service says of each panel."""
        self.receive(json.dumps({"panels": panels}).encode())

    def receive(self, body: bytes) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.received(body)

    def fail(self, failure: UpstreamFailed) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.failed(failure)

    def after(self, seconds: float, end: Callable[..., None], *told: Any) -> None:
        """End it later."""
        asyncio.get_running_loop().call_later(seconds, end, *told)


Behaviour = Callable[[Exchange], None]


def hang(_exchange: Exchange) -> None:
    """It is for the test to end the exchange."""


def spec_of(service: str, urls: str, **more: Any) -> ServiceSpec:
    """A service of this system, as a panels file declares it."""
    declared: dict[str, Any] = {"internal": True, "issuers": None, "headers": (), "forward": (), "concurrency": 32}
    return ServiceSpec(name=service, urls=urls, **(declared | more))


class SimulatedUpstream(Upstream):
    """A service as the gateway knows it. `behaviour` is told each exchange; replicas in `dead` are not alive."""

    def __init__(self, behaviour: Behaviour = hang, service: str = "example", replicas: int = 1) -> None:
        urls = ",".join([f"http://replica-{number}" for number in range(replicas)])
        super().__init__(spec_of(service, urls), cast("Transport", None), ServiceTokens(SECRET, "gateway"), DEFAULTS)
        self.behaviour = behaviour
        self.exchanges: list[Exchange] = []
        self.dead: set[int] = set()

    def ask(
        self, query: bytes, origin: Origin, remaining_s: float, replica: int, max_bytes: int, receiver: Receiver
    ) -> Cancellable:
        exchange = Exchange(query, origin, remaining_s, replica, max_bytes, receiver)
        self.exchanges.append(exchange)
        self.behaviour(exchange)
        return exchange

    @property
    def open(self) -> list[Exchange]:
        """Those that nobody has ended."""
        return [exchange for exchange in self.exchanges if not exchange.is_over]

    async def _is_alive(self, replica: int) -> bool:
        return replica not in self.dead


def calls_to(upstream: SimulatedUpstream, clock: Clock, bulkhead_calls: int = 32, **tuning: Any) -> ServiceCalls:
    """Calls to that service with this tuning."""
    return ServiceCalls(upstream._service, upstream, bulkhead_calls, Tuning(**tuning), Timers(clock), clock)
