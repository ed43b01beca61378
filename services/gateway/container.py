"""The parts of the gateway, wired together for its lifetime."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
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
from services.gateway.auth.issuers import ForeignIssuer, Issuers, foreign_issuers
from services.gateway.auth.jwks import OwnKeys
from services.gateway.auth.revocations import EndedSessions, Revocations
from services.gateway.catalog.catalog import ACCOUNTS, Catalog
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
from services.gateway.upstream.backends import Backend, Backends, runners
from services.gateway.upstream.client import Upstream, http_transport
from services.gateway.upstream.timers import Timers
from shared.errors import NotFound
from shared.server.background import Background

PROBE, PROBE_KEPT_S = "readiness", 60


class Offered(dict[Service, Upstream]):
    """Services by name. Raises `NotFound` for one that this gateway does not have."""

    def __missing__(self, service: Service) -> Upstream:
        raise NotFound(f"this gateway has no service {service!r}")


@dataclass(frozen=True)
class Gateway:
    settings: Settings
    tuning: Tuning
    catalog: Catalog
    backends: Backends
    upstreams: "Offered"
    uploads: "Offered"
    """The same services, for requests that may take long to send."""
    redis: Redis | None
    keys: OwnKeys
    issuers: Issuers
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
    catalog: Catalog,
    transport: Transport,
    redis: Redis | None,
    backends: Backends,
    opened: Mapping[Service, Backend],
    timers: Timers,
    foreign: Sequence[ForeignIssuer] = (),
) -> Gateway:
    """Wire the parts together; connects to nothing."""
    upstreams = Offered({name: backend.upstream for name, backend in opened.items()})
    users = upstreams.get(ACCOUNTS)
    panels = catalog.panels
    keys = OwnKeys(transport, settings, tuning)
    issuers = Issuers(keys if _has_own_tokens(settings, catalog) else None, foreign)
    api_keys = ApiKeys(users, settings, tuning)
    revocations = Revocations(redis, settings, tuning)
    stale_store = StaleStore(redis, panels, settings.last_known_good_max_age_s, tuning, revocations.knows_user)
    revocations.on_user_gone(stale_store.forget)
    addresses = ClientAddresses(settings.trusted_proxies)
    limits = Limiter(redis, addresses, settings, tuning)
    cache = PanelCache(panels, settings.cache_max_bytes, tuning.cache_max_age_s)
    reader = PanelReader(runners(opened, tuning), cache, stale_store, timers)
    invalidation = Invalidation(cache, reader.in_flight)
    feed = LiveFeed(settings.rabbitmq_url, panels, tuning.feed_reconnect_s)
    feed.subscribe(invalidation)
    dashboards = DashboardService(reader, stale_store, tuning)
    transfers = Transfers()
    hub = StreamHub(dashboards, panels, revocations, transfers, settings, tuning)
    feed.subscribe(hub)  # after the cache, so that it does not read old data
    return Gateway(
        settings=settings,
        tuning=tuning,
        catalog=catalog,
        backends=backends,
        upstreams=upstreams,
        uploads=Offered({name: backend.uploads for name, backend in opened.items()}),
        redis=redis,
        keys=keys,
        issuers=issuers,
        api_keys=api_keys,
        revocations=revocations,
        ended=EndedSessions(users if issuers.own else None, revocations),
        limits=limits,
        passwords=PasswordAttempts(users, limits, settings.pass_through_timeout_s),
        addresses=addresses,
        authenticator=Authenticator(issuers, api_keys, revocations, limits),
        stale_store=stale_store,
        cache=cache,
        feed=feed,
        invalidation=invalidation,
        reader=reader,
        dashboards=dashboards,
        hub=hub,
        transfers=transfers,
        system=SystemProbe(transport, panels, opened),
        documents=Documents(upstreams, catalog.operations, tuning),
        audit_log=AuditLog(users),
    )


async def with_catalog(gateway: Gateway, catalog: Catalog) -> Gateway:
    """Return the gateway with another catalog. Requests in flight finish with the present one; everything that is not
    declared in it is shared."""
    opened = await gateway.backends.use(catalog.services, catalog.panels)
    panels = catalog.panels
    upstreams = Offered({name: backend.upstream for name, backend in opened.items()})
    reader = PanelReader(runners(opened, gateway.tuning), gateway.cache, gateway.stale_store, gateway.reader.timers)
    invalidation = gateway.invalidation
    gateway.reader.retire()
    invalidation.use(reader.in_flight)
    gateway.cache.use(panels)
    gateway.stale_store.use(panels)
    gateway.feed.use(panels)
    dashboards = DashboardService(reader, gateway.stale_store, gateway.tuning)
    gateway.hub.use(dashboards, panels)
    gateway.documents.use(upstreams, catalog.operations)
    gateway.system.use(panels, opened)
    users = upstreams.get(ACCOUNTS)
    gateway.ended.users = users if gateway.issuers.own else None
    gateway.passwords.users = gateway.audit_log.users = gateway.api_keys.users = users
    return replace(
        gateway,
        catalog=catalog,
        upstreams=upstreams,
        uploads=Offered({name: backend.uploads for name, backend in opened.items()}),
        reader=reader,
        dashboards=dashboards,
    )


@asynccontextmanager
async def running(app: FastAPI, catalog: Catalog, settings: Settings, tuning: Tuning) -> AsyncIterator[Gateway]:
    """Run the gateway with its background tasks, as `app.state`; closes what it opened."""
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(http_transport(tuning.connect_timeout_s, tuning.read_timeout_s))
        upload_transport = await stack.enter_async_context(http_transport(tuning.connect_timeout_s, UPLOAD_TIMEOUT_S))
        redis = None
        if settings.redis_url:
            redis = await stack.enter_async_context(redis_client(settings.redis_url, tuning))
        timers = Timers()
        backends = Backends(transport, upload_transport, app.state.service_tokens, settings, tuning, timers)
        stack.push_async_callback(backends.aclose)
        opened = await backends.use(catalog.services, catalog.panels)
        foreign = await stack.enter_async_context(foreign_issuers(settings, tuning))
        gateway = build(settings, tuning, catalog, transport, redis, backends, opened, timers, foreign)
        stack.callback(gateway.api_keys.close)
        app.state.gateway = gateway
        checks = app.state.checks
        checks.needed["jwks"] = gateway.issuers.check
        if foreign:
            checks.useful["issuers"] = gateway.issuers.check_foreign
        checks.useful["revocations"] = gateway.revocations.check
        if gateway.issuers.own:
            checks.useful["ended_sessions"] = gateway.ended.check
        checks.useful["limits"] = gateway.limits.counts.check
        metrics.CACHE_BYTES.set_function(lambda: gateway.cache.bytes)
        metrics.CACHE_ENTRIES.set_function(lambda: len(gateway.cache))
        background = await stack.enter_async_context(Background())
        app.state.background = background
        checks.useful["background"] = background.check
        for keys in gateway.issuers.key_sets():
            background.start("jwks" if keys is gateway.keys else f"jwks {keys.issuer}", keys.keep_fresh)
        background.start("revocations", gateway.revocations.follow)
        await gateway.ended.read()  # before the first request is admitted
        background.start("ended sessions", gateway.ended.follow)
        background.start("limits", gateway.limits.reconcile)
        background.start("OpenAPI documents", gateway.documents.keep_fresh)
        background.start("latencies", gateway.system.keep_time)
        background.start("sessions of streams", gateway.hub.watch_sessions)
        if redis is not None:
            checks.useful["redis"] = partial(check_writable, redis)
            background.start("write-behind", gateway.stale_store.write_behind)
        if settings.rabbitmq_url:
            checks.useful["rabbitmq"] = gateway.feed.check
            background.start("live feed", gateway.feed.run)
        app.state.stopping.append(gateway.hub.stop)
        yield gateway


def _has_own_tokens(settings: Settings, catalog: Catalog) -> bool:
    """Return whether this system issues tokens: not if all that it has are other issuers, and no accounts."""
    is_asked_for = catalog.has_accounts or not settings.trusted_issuers or "jwks_url" in settings.model_fields_set
    return bool(settings.jwks_url) and is_asked_for


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
