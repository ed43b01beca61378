"""Wiring of all parts of webhooks in a worker."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from services.worker.ledger.ledger import Ledger
from services.worker.settings import Settings, Tuning
from services.worker.webhooks import calls
from services.worker.webhooks.address import Resolve, resolving
from services.worker.webhooks.calls import Listener
from services.worker.webhooks.client import CheckedNetwork, Client
from services.worker.webhooks.dispatcher import CallSlots, Dispatcher
from services.worker.webhooks.service import UrlCheck, Webhooks
from services.worker.webhooks.signing import SecretBox
from shared.db.engine import Database


@dataclass(frozen=True, slots=True)
class Network:
    """The outside world: names, and the trusted certificates."""

    resolve: Resolve
    tls: ssl.SSLContext


@asynccontextmanager
async def internet(tuning: Tuning) -> AsyncIterator[Network]:
    async with resolving(tuning.webhook_connect_timeout_s / 2) as resolve:
        yield Network(resolve, ssl.create_default_context())


@asynccontextmanager
async def webhooks(
    settings: Settings,
    tuning: Tuning,
    db: Database,
    ledger: Ledger,
    network: Network,
    on_turned_off: Callable[[UUID], None],
) -> AsyncIterator[tuple[Webhooks, Dispatcher]]:
    """`on_turned_off` is called, after the commit, with the user whose webhook was disabled."""
    turned_off: set[UUID] = set()

    def after_call() -> None:
        while turned_off:
            on_turned_off(turned_off.pop())

    policy, vault = settings.webhook_addresses, SecretBox(settings.webhook_keys)
    checked = CheckedNetwork(network.resolve, policy)
    async with Client.open(checked, tuning, network.tls) as client:
        slots = CallSlots(
            calls=settings.webhook_calls,
            per_host=tuning.webhook_calls_per_host,
            per_host_per_s=tuning.webhook_rate_per_host,
        )
        job = calls.job(client, vault, settings, tuning, Listener(slots.called, turned_off.add))
        times = (tuning.sweep_interval_s, settings.shutdown_grace_s)
        dispatcher = Dispatcher(db, ledger, job, slots, after_call, *times)
        guard = UrlCheck(checked, policy, settings.webhook_https_only, tuning.webhook_connect_timeout_s)
        yield Webhooks(db, guard, vault, dispatcher.wake), dispatcher
