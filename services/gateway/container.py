"""The parts of the gateway, wired together for its lifetime."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from fastapi import FastAPI
from pyqwest import Transport
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from starlette.types import Scope

from services.gateway import metrics
from services.gateway.auth.api_keys import ApiKeys
from services.gateway.auth.authenticator import Authenticator
from services.gateway.auth.jwks import KeySet
from services.gateway.auth.revocations import EndedSessions, Revocations
from services.gateway.dashboard.cache import PanelCache
from services.gateway.dashboard.reader import PanelReader
from services.gateway.dashboard.service import DashboardService
from services.gateway.dashboard.stale_store import StaleStore
from services.gateway.limits.client_ip import ClientAddresses
from services.gateway.limits.limiter import Limiter
from services.gateway.limits.password_attempts import PasswordAttempts
from services.gateway.live.feed import LiveFeed
from services.gateway.live.hub import StreamHub
from services.gateway.live.invalidation import Invalidation
from services.gateway.openapi.documents import Documents
from services.gateway.panels import Service
from services.gateway.proxy.audit_log import AuditLog
from services.gateway.proxy.forward import UPLOAD_TIMEOUT_S, Transfers
from services.gateway.settings import Settings, Tuning
from services.gateway.status import SystemProbe
from services.gateway.upstream.client import Upstream, http_transport
from shared.http.tokens import ServiceTokens
from shared.server.background import Background

PROBE, PROBE_KEPT_S = "readiness", 60


@dataclass(frozen=True)
class Gateway:
    settings: Settings
    tuning: Tuning
    upstreams: Mapping[Service, Upstream]
    uploads: Mapping[Service, Upstream]
    """The same transport for requests that may take long to send."""
    redis: Redis
    keys: KeySet
    api_keys: ApiKeys
    revocations: Revocations
    ended: EndedSessions
    limits: Limiter
    passwords: PasswordAttempts
    addresses: ClientAddresses
    authenticator: Authenticator
    stale_store: StaleStore
    cache: PanelCache
    feed: LiveFeed
    invalidation: Invalidation
    reader: PanelReader
    dashboards: DashboardService
    hub: StreamHub
    transfers: Transfers
    system: SystemProbe
    documents: Documents
    audit_log: AuditLog


def gateway_of(scope: Scope) -> Gateway:
    """Return the gateway that received a request."""
    gateway: Gateway = scope["app"].state.gateway
    return gateway


def client_of(scope: Scope) -> str | None:
    """Return the client's address as services see it."""
    return gateway_of(scope).addresses.client(scope)


def build(
    settings: Settings,
    tuning: Tuning,
    tokens: ServiceTokens,
    transport: Transport,
    upload_transport: Transport,
    redis: Redis,
) -> Gateway:
    """Wire the parts together; connects to nothing."""
    urls: dict[Service, str] = {
        "users": settings.users_url,
        "orders": settings.orders_url,
        "worker": settings.worker_url,
    }
    upstreams = {name: Upstream(name, url, transport, tokens, tuning) for name, url in urls.items()}
    keys = KeySet(transport, settings, tuning)
    api_keys = ApiKeys(upstreams["users"], settings, tuning)
    revocations = Revocations(redis, settings, tuning)
    stale_store = StaleStore(redis, settings.last_known_good_max_age_s, tuning, revocations.knows_user)
    revocations.on_user_gone(stale_store.forget)
    addresses = ClientAddresses(settings.trusted_proxies)
    limits = Limiter(redis, addresses, settings, tuning)
    cache = PanelCache(settings.cache_max_bytes, tuning.cache_max_age_s)
    reader = PanelReader(upstreams, cache, stale_store, settings, tuning)
    invalidation = Invalidation(cache, reader.in_flight)
    feed = LiveFeed(settings.rabbitmq_url, tuning.feed_reconnect_s)
    feed.subscribe(invalidation)
    dashboards = DashboardService(reader, stale_store, tuning)
    transfers = Transfers()
    hub = StreamHub(dashboards, revocations, transfers, settings, tuning)
    feed.subscribe(hub)  # after the cache, so that it does not read old data
    return Gateway(
        settings=settings,
        tuning=tuning,
        upstreams=upstreams,
        uploads={name: upstream.by(upload_transport) for name, upstream in upstreams.items()},
        redis=redis,
        keys=keys,
        api_keys=api_keys,
        revocations=revocations,
        ended=EndedSessions(upstreams["users"], revocations),
        limits=limits,
        passwords=PasswordAttempts(upstreams["users"], limits, settings.pass_through_timeout_s),
        addresses=addresses,
        authenticator=Authenticator(keys, api_keys, revocations, limits),
        stale_store=stale_store,
        cache=cache,
        feed=feed,
        invalidation=invalidation,
        reader=reader,
        dashboards=dashboards,
        hub=hub,
        transfers=transfers,
        system=SystemProbe(transport, urls, reader.calls),
        documents=Documents(upstreams, tuning),
        audit_log=AuditLog(upstreams["users"]),
    )


@asynccontextmanager
async def running(app: FastAPI, settings: Settings, tuning: Tuning) -> AsyncIterator[Gateway]:
    """Run the gateway with its background tasks, as `app.state`; closes what it opened."""
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(http_transport(tuning.connect_timeout_s, tuning.read_timeout_s))
        upload_transport = await stack.enter_async_context(http_transport(tuning.connect_timeout_s, UPLOAD_TIMEOUT_S))
        redis = await stack.enter_async_context(redis_client(settings.redis_url, tuning))
        gateway = build(settings, tuning, app.state.service_tokens, transport, upload_transport, redis)
        for upstream in gateway.upstreams.values():
            stack.callback(upstream.close)
        stack.callback(gateway.reader.close)
        stack.callback(gateway.api_keys.close)
        app.state.gateway = gateway
        app.state.checks.needed["jwks"] = gateway.keys.check
        app.state.checks.useful["redis"] = partial(check_writable, redis)
        app.state.checks.useful["revocations"] = gateway.revocations.check
        app.state.checks.useful["ended_sessions"] = gateway.ended.check
        app.state.checks.useful["limits"] = gateway.limits.counts.check
        app.state.checks.useful["rabbitmq"] = gateway.feed.check
        metrics.CACHE_BYTES.set_function(lambda: gateway.cache.bytes)
        metrics.CACHE_ENTRIES.set_function(lambda: len(gateway.cache))
        for name, upstream in gateway.upstreams.items():
            metrics.CONNECTIONS.labels(name, "busy").set_function(upstream.busy)
            metrics.CONNECTIONS.labels(name, "idle").set_function(upstream.idle)
        background = await stack.enter_async_context(Background())
        app.state.background = background
        app.state.checks.useful["background"] = background.check
        background.start("jwks", gateway.keys.keep_fresh)
        background.start("revocations", gateway.revocations.follow)
        await gateway.ended.read()  # before the first request is admitted
        background.start("ended sessions", gateway.ended.follow)
        background.start("limits", gateway.limits.reconcile)
        background.start("live feed", gateway.feed.run)
        background.start("write-behind", gateway.stale_store.write_behind)
        background.start("OpenAPI documents", gateway.documents.keep_fresh)
        background.start("latencies", gateway.system.keep_time)
        background.start("sessions of streams", gateway.hub.watch_sessions)
        app.state.stopping.append(gateway.hub.stop)
        yield gateway


async def check_writable(redis: Redis) -> None:
    """Raises Redis errors. Writes, because a Redis that is full, or a replica, still answers PING."""
    await redis.set(PROBE, b"", ex=PROBE_KEPT_S)


def redis_client(url: str, tuning: Tuning) -> Redis:
    """One attempt each: the gateway works without anything that Redis does not return at once.

    No `socket_timeout`: redis-py implements it with `asyncio.wait_for`, which on Python 3.11 loses a cancellation that
    arrives as the write ends. Every caller here has its own timeout.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=tuning.redis_write_timeout_s,
        socket_timeout=None,
        retry=Retry(NoBackoff(), 0),
    )
