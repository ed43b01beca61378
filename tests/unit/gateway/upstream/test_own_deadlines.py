"""Whoever begins or joins a read shortens nobody else's wait, and nobody is shown what is older than a change.

All that reads a panel in the gateway runs on a clock of its own, with random callers, budgets, answers and changes.
"""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.changes import Change
from services.gateway.dashboard.cache import PanelCache
from services.gateway.dashboard.models import Remembered
from services.gateway.dashboard.reader import Fetcher
from services.gateway.dashboard.service import Dashboards, recall_time
from services.gateway.dashboard.stale_store import LastKnownGood
from services.gateway.dashboard.unwritten import Read, Unwritten
from services.gateway.errors import NoPanelAvailable
from services.gateway.invalidation import Invalidation
from services.gateway.panels import PANELS
from services.gateway.settings import Settings
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import BadAnswer
from tests.support.virtual import Clock, pass_time, run_virtually

ORDERS = next(panel for panel in PANELS if panel.name == "orders")
USERS = (UUID(int=1), UUID(int=2))
GRAIN_S = 0.005
"""Timers may come a little early, and what falls together with a deadline may go either way."""
ALONE: dict[str, Any] = {"batch_calls": 1000, "bulkhead_calls": 1000, "breaker_min_calls": 10**6, "retry_share": 0}


@dataclass
class Service:
    """Answers with the version that it had when it was asked. `obeys`: it fails when its time is over."""

    latencies: Sequence[float]
    obeys: bool
    version: int = 0
    calls: int = 0

    def next_replica(self) -> int:
        return 0

    async def ask(self, _path: str, user_ids: Sequence[str], told_s: float, *_: object) -> bytes:
        latency = self.latencies[self.calls % len(self.latencies)]
        self.calls += 1
        version = self.version
        if self.obeys and latency > told_s:
            await asyncio.sleep(told_s)
            raise BadAnswer("out of time")
        await asyncio.sleep(latency)
        return json.dumps({"items": {user_id: [version] for user_id in user_ids}}).encode()


class KnownGood:
    """What is kept as last known, and how old it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept = Unwritten(100)
        self.history: dict[str, list[int]] = {}

    def remember(self, panel: str, user_id: str, data: msgspec.Raw, age_s: float) -> None:
        self._kept.put((panel, user_id), Read(self._clock() - age_s, 0, data))
        kept = self._kept.get((panel, user_id))
        assert kept is not None
        self.history.setdefault(user_id, []).append(version_of(kept.data))

    async def recall(self, *_: object) -> dict[str, Remembered]:
        return {}


@dataclass
class Caller:
    """Comes so long after the one before."""

    after_s: float
    budget_s: float
    user: UUID
    anew: bool

    @property
    def patience_s(self) -> float:
        return min(ORDERS.timeout_s, self.budget_s - recall_time(self.budget_s, 0.05))


@dataclass
class Outcome:
    caller: Caller
    seconds: float
    least: int
    """The version that the last change before them brought."""
    version: int | None


@dataclass
class Scene:
    """A gateway that reads the orders of a service."""

    service: Service
    clock: Clock
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        told = Settings(environment="development", **ALONE)
        self.known_good = KnownGood(self.clock)
        known_good = cast("LastKnownGood", self.known_good)
        cache = PanelCache(10**6, 30, self.clock)
        upstreams: Any = dict.fromkeys(("users", "orders", "worker"), cast("Upstream", self.service))
        self.fetcher = Fetcher(upstreams, cache, known_good, told, self.clock)
        self.invalidation = Invalidation(cache, self.fetcher)
        self.invalidation.feed_came()
        self.dashboards = Dashboards(cache, self.fetcher, known_good, told, self.clock)

    async def read(self, caller: Caller) -> None:
        began, least = self.clock(), self.service.version
        version = None
        try:
            read = self.dashboards.read(caller.user, [ORDERS], caller.budget_s, anew=caller.anew)
            view = (await read)[0].panels["orders"]
            version = version_of(view.data) if view.data else None
        except NoPanelAvailable:
            pass
        self.outcomes.append(Outcome(caller, self.clock() - began, least, version))

    async def change(self, kind: str) -> None:
        await pass_time(0.001)
        self.service.version += 1
        if kind == "unreadable":
            self.invalidation.changed_unreadably()
        elif kind == "feed":
            self.invalidation.feed_lost()
            self.invalidation.feed_came()
        else:
            for user in USERS:
                self.invalidation.changed(Change(user, ("orders",), "order.created", b""))


def version_of(data: msgspec.Raw) -> int:
    version: int = json.loads(bytes(data))[0]
    return version


BUDGETS = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1.0, 2.0])
CALLERS = st.builds(Caller, st.floats(0, 0.3), BUDGETS, st.sampled_from(USERS), st.booleans())
CHANGES = st.sampled_from(["known", "unreadable", "feed"])
STEPS = st.lists(CALLERS | CALLERS | CALLERS | CHANGES, min_size=1, max_size=25)
LATENCY = st.floats(0.001, 1.2)


def play(steps: Sequence[Caller | str], latencies: Sequence[float], *, obeys: bool) -> Scene:
    async def played(clock: Clock) -> Scene:
        scene = Scene(Service(latencies, obeys), clock)
        tasks = []
        for step in steps:
            if isinstance(step, str):
                await scene.change(step)
            else:
                await asyncio.sleep(step.after_s)
                tasks.append(asyncio.create_task(scene.read(step)))
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        assert scene.fetcher.is_idle
        return scene

    return run_virtually(played)


@given(steps=STEPS, latency=LATENCY, obeys=st.booleans())
@settings(max_examples=50, deadline=None)
def test_everybody_gets_what_comes_in_their_own_time(steps: list[Caller | str], latency: float, *, obeys: bool) -> None:
    """A caller who would get the answer alone gets it in company, too; nobody waits beyond their own deadline."""
    for outcome in play(steps, [latency], obeys=obeys).outcomes:
        assert outcome.seconds <= outcome.caller.patience_s + GRAIN_S
        if latency < outcome.caller.patience_s - GRAIN_S:
            assert outcome.version is not None, outcome


@given(steps=STEPS, latencies=st.lists(LATENCY, min_size=1, max_size=7), obeys=st.booleans())
@settings(max_examples=50, deadline=None)
def test_nothing_is_older_than_a_change_before_it(
    steps: list[Caller | str], latencies: list[float], *, obeys: bool
) -> None:
    """Whatever overtakes whatever; and what is kept as last known never goes back."""
    scene = play(steps, latencies, obeys=obeys)
    for outcome in scene.outcomes:
        assert outcome.version is None or outcome.version >= outcome.least, outcome
    assert all(history == sorted(history) for history in scene.known_good.history.values())


def test_the_patient_are_not_cut_short_by_the_hasty() -> None:
    """One with a budget of 10 ms begins a read, others join it; the service takes 100 ms."""
    callers = [Caller(0, 0.01, USERS[0], anew=False), *(Caller(0.001, 0.8, USERS[0], anew=False) for _ in range(3))]
    outcomes = play(callers, [0.1], obeys=True).outcomes
    assert [outcome.version for outcome in outcomes] == [None, 0, 0, 0]


def test_callers_of_the_same_patience_share_one_read() -> None:
    """Though each comes later than the one before, and so has a later deadline."""
    scene = play([Caller(0.01, 1.0, USERS[0], anew=False) for _ in range(20)], [0.5], obeys=True)
    assert scene.service.calls == 1
    assert {outcome.version for outcome in scene.outcomes} == {0}


def test_who_joined_late_is_asked_for_again() -> None:
    """The service gives up the first read when its time is over, and has time for a second."""
    scene = play([Caller(0, 1.0, USERS[0], anew=False), Caller(0.7, 1.0, USERS[0], anew=False)], [5, 0.1], obeys=True)
    assert [outcome.version for outcome in scene.outcomes] == [None, 0]
