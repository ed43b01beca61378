"""The simulated processes: the real orders service, worker and gateway, and models of the servers around them.

The orders service and the worker are whole, with their HTTP servers; of the worker's jobs some run, and none of its
feature slices. A gateway is its panel path, from `DashboardService` to the services, with its live feed and its stale
store; the routes in front of it are left out.
"""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from fastapi import FastAPI
from pydantic import SecretStr

from services.gateway.catalog.catalog import Catalog, load
from services.gateway.container import Gateway, build, redis_client
from services.gateway.live.feed import Change
from services.gateway.settings import DEFAULTS as GATEWAY_TUNING
from services.gateway.settings import Settings as GatewaySettings
from services.gateway.upstream.backends import Backend, Backends
from services.gateway.upstream.timers import Timers
from services.orders.main import create_app as create_orders
from services.orders.settings import Settings as OrdersSettings
from services.worker import jobs
from services.worker.broker import queue_stats
from services.worker.main import PANELS as WORKER_PANELS
from services.worker.main import working
from services.worker.settings import Settings as WorkerSettings
from services.worker.settings import Tuning
from shared.db.engine import is_outage
from shared.feature import Features
from shared.http import application
from shared.http.panel_fast_path import PanelsFastPath
from shared.http.tokens import ServiceTokens
from shared.outbox.relay import Relay
from shared.server.background import Background
from shared.server.connection import Ending
from shared.server.serve import config_of
from tools.lab.simulation.http import SimulatedTransport
from tools.lab.simulation.machine.loop import Process, SimulationLoop
from tools.lab.simulation.plan import JOBS
from tools.lab.simulation.rabbitmq import RabbitModel
from tools.lab.simulation.redis import RedisModel
from tools.lab.simulation.smtp import MailServer

SECRET = "a secret that only simulations know"
RABBITMQ_URL = "amqp://guest:guest@rabbitmq:5672/"
TUNING = Tuning(watch_interval_s=6, sweep_interval_s=2)
"""Of workers. Polling is rarer than in production: it costs most of the time of a simulation, and shows less."""
POLL_S, MEASURE_S = 3.0, 30.0
"""How often relays poll, and how often gauges are measured."""
PANELS_FILE = Path(__file__).parent / "panels.toml"
POOL = 6


@dataclass
class Databases:
    """The names of the databases of a simulation, and their URLs."""

    orders: str
    worker: str
    url_of: Callable[[str], str]


class ChangeRecorder:
    """Notes what a gateway has been told, after it has dropped what has changed."""

    def __init__(self, told: Callable[[Change | None], None], came: Callable[[], None]) -> None:
        self._told = told
        self._came = came

    def feed_came(self) -> None:
        self._came()

    def feed_lost(self) -> None:
        """Nothing is cached from now on."""

    def changed(self, change: Change) -> None:
        self._told(change)

    def changed_unreadably(self) -> None:
        self._told(None)


@dataclass
class Programs:
    """Everything that runs in one simulation. `programs` are the coroutines of the processes, by name."""

    loop: SimulationLoop
    databases: Databases
    random: Random
    told: Callable[[str, Change | None], None]
    came: Callable[[str], None]
    rabbit: RabbitModel = field(init=False)
    redis: RedisModel = field(init=False)
    mail: MailServer = field(init=False)
    processes: dict[str, Process] = field(default_factory=dict)
    apps: dict[str, FastAPI] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)
    backends: dict[str, Mapping[str, Backend]] = field(default_factory=dict)
    """By gateway, the services that it calls."""

    def __post_init__(self) -> None:
        Relay.POLL_S, Relay.MEASURE_S, queue_stats.EVERY_S = POLL_S, MEASURE_S, MEASURE_S
        self.rabbit = RabbitModel(Random(self.random.random()))
        self.redis = RedisModel(Random(self.random.random()))
        self.mail = MailServer(Random(self.random.random()))

    def start(self, name: str) -> Process:
        """Start a process, also after it was killed."""
        process = self.loop.new_process(name)
        process.skew_s = 0.0
        self.processes[name] = process
        self.loop.spawn(process, self._program(name), name)
        return process

    def _program(self, name: str) -> Coroutine[Any, Any, None]:
        match name.partition("-")[0]:
            case "rabbitmq":
                return self._server(self.rabbit.serve, name, 5672)
            case "redis":
                return self._server(self.redis.serve, name, 6379)
            case "smtp":
                return self._server(self.mail.serve, name, 25)
            case "orders":
                return self._orders()
            case "worker":
                return self._worker(name)
        return self._gateway(name)

    async def _server(self, serve: Any, host: str, port: int) -> None:
        server = await asyncio.start_server(serve, host, port)
        await server.serve_forever()

    async def _orders(self) -> None:
        settings = OrdersSettings(**self._settings(self.databases.orders), rabbitmq_url=RABBITMQ_URL)
        app = create_orders(settings)
        async with app.router.lifespan_context(app):
            await self._serve("orders", app, 8002)

    async def _worker(self, name: str) -> None:
        settings = WorkerSettings(
            **self._settings(self.databases.worker),
            rabbitmq_url=RABBITMQ_URL,
            smtp_url="smtp://smtp:25",
            users_url="http://users:8001",
        )
        app = application.create_app(
            "worker",
            settings,
            lifespan=lambda app: working(app, settings, TUNING, Features([]), declared_jobs()),
            routes=[*WORKER_PANELS.routes()],
            is_outage=is_outage,
        )
        app.fast_path = PanelsFastPath(app.state, WORKER_PANELS)
        async with app.router.lifespan_context(app):
            await self._serve(name, app, 8003)

    async def _serve(self, name: str, app: FastAPI, port: int) -> None:
        config = config_of(app, lifespan="off")
        config.load()
        state = Ending()
        protocol: Any = config.http_protocol_class
        server = await self.loop.create_server(
            lambda: protocol(config=config, server_state=state, app_state={}), name, port
        )
        self.apps[name] = app
        await server.serve_forever()

    async def _gateway(self, name: str) -> None:
        settings = GatewaySettings(
            environment="development",
            internal_token_secret=SecretStr(SECRET),
            redis_url="redis://redis:6379/0",
            rabbitmq_url=RABBITMQ_URL,
            panels_file=str(PANELS_FILE),
        )
        tuning, timers, catalog = GATEWAY_TUNING, Timers(), panels_catalog()
        tokens, http = ServiceTokens(SECRET, "gateway"), SimulatedTransport()
        async with redis_client(settings.redis_url, tuning) as redis:
            backends = Backends(http, http, tokens, settings, tuning, timers)
            opened = await backends.use(catalog.services, catalog.panels)
            gateway = build(settings, tuning, catalog, http, redis, backends, opened, timers)
            gateway.feed.subscribe(ChangeRecorder(partial(self.told, name), partial(self.came, name)))
            async with Background() as background:
                background.start("write-behind", gateway.stale_store.write_behind)
                background.start("live feed", gateway.feed.run)
                self.gateways[name], self.backends[name] = gateway, opened
                await self.loop.create_future()

    def _settings(self, database: str) -> dict[str, Any]:
        url = self.databases.url_of(database)
        return {
            "environment": "development",
            "internal_token_secret": SecretStr(SECRET),
            "database_url": url,
            "pool_size": POOL,
        }


def panels_catalog() -> Catalog:
    """Return the catalog of simulated gateways."""
    return load(PANELS_FILE, urls={})


def declared_jobs() -> dict[str, jobs.Declared]:
    """Return the jobs that simulated workers run."""
    found = jobs.discover(["tools.lab.simulation.jobs"])
    return {name: found[name] for name in JOBS}


def queues_of(names: Sequence[str] = JOBS) -> dict[str, tuple[str, ...]]:
    """Return the types of events in the queue of each job that has one."""
    declared = declared_jobs()
    return {name: declared[name].types for name in names if declared[name].types}
