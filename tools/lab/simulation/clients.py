"""The clients of a simulation: they place and pay orders, add tasks, request runs, pause jobs and read dashboards."""

import asyncio
import json
from collections.abc import Iterable
from contextlib import suppress
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from services.gateway.dashboard.models import NoPanelAvailable
from services.gateway.panels import Panel
from services.worker.ledger.admin import controls
from shared.contracts.events import UserRegistered
from shared.http.identity import USER_ID_HEADER, USER_ROLE_HEADER
from shared.http.tokens import ServiceTokens
from shared.outbox import outbox
from shared.outbox.tasks import ConnectionTasks
from tools.lab.simulation.checks import Read
from tools.lab.simulation.jobs import Simulate
from tools.lab.simulation.machine.loop import wall_time
from tools.lab.simulation.plan import Step
from tools.lab.simulation.programs import SECRET
from tools.lab.simulation.world import World

ANSWER_S = 5.0
"""How long a client waits for one response."""
ATTEMPTS = 8
OPERATOR = UUID(int=1)
CONFLICT, SERVER_ERROR = 409, 500


class Clients:
    """Each takes steps of a plan in its own task."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = Random(f"clients {world.seed}")
        self._tokens = ServiceTokens(SECRET, "gateway")
        self._placed: dict[UUID, list[str]] = {user: [] for user in world.users}

    def take(self, step: Step) -> None:
        """Start to do what a step says, if its process runs."""
        world, facts = self._world, step.facts
        match step.kind:
            case "order":
                world.start(world.client, self.place(facts["user"], facts["number"]))
            case "pay":
                world.start(world.client, self._pay(facts["user"], facts["number"]))
            case "task" | "keyed task":
                world.start_in("orders", lambda: self._add_task(**facts))
            case "run schedule":
                world.start_in(facts["worker"], lambda: self.run_schedule(facts["worker"]))
            case "pause":
                world.start(world.loop.world, self._pause(facts["job"], facts["for_s"]))
            case "read":
                world.start_in(facts["gateway"], lambda: self.read(**facts))

    async def register(self) -> None:
        """Let the worker know the users. Runs in the orders service, whose relay publishes any event."""
        db = self._world.programs.apps["orders"].state.db
        async with db.begin() as session:
            for number, user in enumerate(self._world.users):
                event = UserRegistered(
                    user_id=user,
                    email=f"user{number}@example.com",
                    name=f"User {number}",
                    revision=1,
                    registered_at=wall_time(self._world.loop.now),
                )
                await outbox.add(session, event)

    async def place(self, user: int, number: int) -> None:
        """Place an order; the number is its price, and makes its idempotency key."""
        body = {"currency": "EUR", "items": [{"sku": "tea", "name": "Tea", "quantity": 1, "unit_price": number}]}
        answer = await self._request("/v1/orders", user, body, {"Idempotency-Key": f"key-{number}"})
        if answer is not None:
            self._placed[self._world.users[user]].append(answer["id"])
            self._world.note(self._world.client, "placed", user=user, order=answer["id"])

    async def _pay(self, user: int, number: int) -> None:
        if placed := self._placed[self._world.users[user]]:
            order = placed[number % len(placed)]
            if await self._request(f"/v1/orders/{order}/pay", user, None, {}):
                self._world.note(self._world.client, "paid", user=user, order=order)

    async def _request(self, path: str, user: int, body: Any, headers: dict[str, str]) -> Any:
        """Repeat a POST until its outcome is known. Returns None if it never is, or is a refusal."""
        world = self._world
        for attempt in range(ATTEMPTS):
            try:
                async with asyncio.timeout(ANSWER_S):
                    status, answer = await self._exchange(path, user, body, headers)
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                world.note(world.client, "no answer", path=path, error=type(error).__name__)
            else:
                if status < 300:
                    return json.loads(answer)
                world.note(world.client, "refused", path=path, status=status)
                if status < SERVER_ERROR and status != CONFLICT:
                    return None
            await asyncio.sleep(self._random.random() * 2**attempt)
        return None

    async def _exchange(self, path: str, user: int, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        reader, writer = await asyncio.open_connection("orders", 8002)
        try:
            content = b"" if body is None else json.dumps(body).encode()
            lines = {
                "Host": "orders",
                "Connection": "close",
                "Authorization": f"Bearer {self._tokens.token()}",
                USER_ID_HEADER: str(self._world.users[user]),
                USER_ROLE_HEADER: "user",
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **headers,
            }
            head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
            writer.write(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + content)
            answer = await reader.readuntil(b"\r\n\r\n")
            status, _, rest = answer.decode().partition("\r\n")
            named = (line.partition(": ")[::2] for line in rest.splitlines())
            length = next((int(value) for name, value in named if name.lower() == "content-length"), 0)
            return int(status.split()[1]), await reader.readexactly(length)
        finally:
            writer.close()

    async def _add_task(self, fails: int = 0, delay_s: float = 0, key: str | None = None) -> None:
        """Add a task in a transaction of the orders service. Whether it was committed is read from the database."""
        world, tasks = self._world, ConnectionTasks()
        delay = timedelta(seconds=delay_s) if delay_s else None
        event_id = tasks.add_task(Simulate(user_id=world.users[0], fails=fails, task_key=key), delay=delay, key=key)
        with suppress(Exception):
            db = world.programs.apps["orders"].state.db
            async with db.connection() as connection, connection.transaction():
                await tasks.flush(connection)
            world.note(world.process("orders"), "task added", id=event_id, key=key)

    async def run_schedule(self, worker: str) -> None:
        """Request a run of the schedule, as an operator does over the API."""
        app = self._world.programs.apps[worker]
        with suppress(Exception):
            event_id = await controls.run_schedule(app.state.db, app.state.jobs, "simulated-tick", OPERATOR)
            self._world.note(self._world.process(worker), "run requested", id=event_id)

    async def _pause(self, job: str, for_s: float) -> None:
        """Pause a job for a while."""
        world = self._world
        world.worker_db.fetch(
            f"INSERT INTO paused_jobs (job, actor) VALUES ('{job}', '{OPERATOR}') ON CONFLICT DO NOTHING"
        )
        world.note(world.loop.world, "paused", job=job)
        await asyncio.sleep(for_s)
        world.worker_db.fetch(f"DELETE FROM paused_jobs WHERE job = '{job}'")
        world.note(world.loop.world, "resumed", job=job)

    async def read(
        self, gateway: str, user: int, budget_ms: int, panels: Iterable[str], *, no_cache: bool = False
    ) -> None:
        """Read a dashboard at a gateway, as its route does."""
        world, found = self._world, self._world.programs.gateways[gateway]
        user_id, began, budget_s = world.users[user], world.loop.now, budget_ms / 1000
        wanted = tuple(panel for panel in found.catalog.panels if panel.name in set(panels))
        known = dict(world.seen.known.get((gateway, str(user_id)), {}))
        suspended = self._suspended(gateway, wanted)
        seconds: dict[str, float] = {}
        try:
            dashboard, taken = await found.dashboards.read(user_id, wanted, budget_s, no_cache=no_cache)
            views, seconds = dashboard.panels, dict(taken)
        except NoPanelAvailable as none:
            views = dict(none.panels)
        shown = {name: (view.status, _version(name, view.data), _code(view)) for name, view in views.items()}
        world.seen.reads.append(
            Read(
                gateway=gateway,
                user=str(user),
                began=began,
                ended=world.loop.now,
                budget_s=budget_s,
                panels=shown,
                seconds=seconds,
                timeouts_s={panel.name: panel.timeout_s for panel in wanted},
                known=known,
                suspended=frozenset(suspended & self._suspended(gateway, wanted)),
                was_disturbed=world.frozen_until.get(gateway, 0.0) >= began,
            )
        )
        said = ",".join(f"{name}:{status}{'/' + error if error else ''}" for name, (status, _, error) in shown.items())
        took_ms = round((world.loop.now - began) * 1000)
        world.note(world.process(gateway), "read", user=user, ms=took_ms, budget_ms=budget_ms, panels=said)

    def _suspended(self, gateway: str, panels: Iterable[Panel]) -> set[str]:
        """Return the panels whose service the gateway does not call now."""
        opened = self._world.programs.backends[gateway]
        return {
            panel.name for panel in panels if (policies := opened[panel.service].policies) and policies.is_suspended
        }


def _version(panel: str, data: Any) -> Any:
    """Return what can be compared of a panel's content."""
    if data is None:
        return None
    content = json.loads(bytes(data))
    if panel == "orders":
        return {order["id"]: order["status"] for order in content}
    return len(content) if panel == "notifications" else content["orders"]


def _code(view: Any) -> str | None:
    return getattr(view.error, "code", None)
