"""Webhooks as a feature of the worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from services.worker.host import Host
from services.worker.ledger.job import Job
from services.worker.settings import Settings, Tuning
from services.worker.webhooks import calls, deliveries
from services.worker.webhooks.calls import Listener
from services.worker.webhooks.client import CheckedNetwork, Client
from services.worker.webhooks.dispatcher import CallSlots, Dispatcher
from services.worker.webhooks.routes import router
from services.worker.webhooks.service import UrlCheck, Webhooks
from services.worker.webhooks.settings import WebhookSettings, WebhookTuning
from services.worker.webhooks.signing import SecretBox
from shared.feature import Feature


def feature(settings: Settings, tuning: Tuning) -> Feature[Host]:
    own, limits = WebhookSettings(**dict(settings)), tuning.of(WebhookTuning)

    @asynccontextmanager
    async def opened(host: Host) -> AsyncIterator[None]:
        turned_off: set[UUID] = set()

        def after_call() -> None:
            """After the commit of a call that disabled a webhook, its user has a notification."""
            while turned_off:
                host.hints.changed(turned_off.pop(), ["notifications"])

        policy, secret_box = own.webhook_addresses, SecretBox(own.webhook_keys)
        async with limits.network(limits.webhook_connect_timeout_s / 2) as network:
            checked = CheckedNetwork(network.resolve, policy)
            async with Client.open(checked, limits, network.tls) as client:
                slots = CallSlots(
                    calls=own.webhook_calls,
                    per_host=limits.webhook_calls_per_host,
                    per_host_per_s=limits.webhook_rate_per_host,
                )
                calling = calls.job(client, secret_box, own, limits, Listener(slots.called, turned_off.add))
                times = (tuning.sweep_interval_s, settings.shutdown_grace_s)
                dispatcher = Dispatcher(host.db, host.ledger, calling, slots, after_call, *times)
                url_check = UrlCheck(checked, policy, own.webhook_https_only, limits.webhook_connect_timeout_s)

                def on_done(done: Job, _: UUID) -> None:
                    if done.name == deliveries.JOB:
                        dispatcher.wake()

                host.on_done.append(on_done)
                host.background.start("webhooks", dispatcher.run)
                host.app.state.webhooks = Webhooks(host.db, url_check, secret_box, dispatcher.wake)
                yield

    return Feature(routes=(router,), open=opened)
