"""Whoever begins or joins a read shortens nobody else's wait, and nobody is shown what is older than a change.

All that reads panels in the gateway runs on a clock of its own, with random callers, panels, budgets, answers and
changes.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from services.gateway.dashboard.cache import PanelCache
from services.gateway.dashboard.models import NoPanelAvailable, Remembered
from services.gateway.dashboard.reader import PanelReader
from services.gateway.dashboard.service import DashboardService
from services.gateway.dashboard.stale_store import StaleStore
from services.gateway.dashboard.wait import recall_time
from services.gateway.dashboard.write_behind import WriteBehindQueue
from services.gateway.live.feed import Change
from services.gateway.live.invalidation import Invalidation
from services.gateway.panels import Panel
from services.gateway.settings import Tuning
from services.gateway.upstream.batching import Batcher
from services.gateway.upstream.errors import BadAnswer
from services.gateway.upstream.resilience import ServiceCalls
from services.gateway.upstream.timers import Timers
from tests.support.gateway.declared import PANELS
from tests.support.gateway.simulated_service import Exchange, SimulatedUpstream
from tests.support.virtual import Clock, pass_time, run_virtually

FOUR = PANELS[:4]
ORDERS = (next(panel for panel in FOUR if panel.name == "orders"),)
USERS = (UUID(int=1), UUID(int=2))
GRAIN_S = 0.005
"""Timers may come a little early, and what falls together with a deadline may go either way."""
ALONE: dict[str, Any] = {"breaker_min_calls": 10**6, "retry_share": 0}


@dataclass
class Services:
    """Answer with the version that all panels had when they were asked. `obeys`: they fail when their time is over."""

    latencies: Sequence[float]
    obeys: bool
    version: int = 0
    calls: int = 0

    def behave(self, exchange: Exchange) -> None:
        latency = self.latencies[self.calls % len(self.latencies)]
        self.calls += 1
        if self.obeys and latency > exchange.told_s:
            exchange.after(exchange.told_s, exchange.fail, BadAnswer("out of time"))
        else:
            exchange.after(latency, exchange.answer, self.version)


class KnownGood:
    """What is kept as last known, and how old it was."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept = WriteBehindQueue(100)
        self.history: dict[tuple[str, str], list[int]] = {}

    def remember(self, user_id: str, panels: Mapping[str, bytes], asked: float) -> None:
        self._kept.put(user_id, asked, 0, panels)
        for key in ((panel, user_id) for panel in panels):
            kept = self._kept.get(key)
            assert kept is not None
            self.history.setdefault(key, []).append(version_of(kept.data))

    async def recall(self, *_: object) -> dict[str, Remembered]:
        return {}


@dataclass
class Caller:
    """Comes so long after the one before."""

    after_s: float
    budget_s: float
    user: UUID = USERS[0]
    no_cache: bool = False
    panels: tuple[Panel, ...] = ORDERS

    def patience_s(self, panel: Panel) -> float:
        return min(panel.timeout_s, self.budget_s - recall_time(self.budget_s, 0.05))


@dataclass
class Outcome:
    caller: Caller
    seconds: float
    least: int
    """The version that the last change before them brought."""
    versions: dict[str, int]
    """By panel; those that did not come in time are not in it."""


@dataclass
class Scene:
    """A gateway that reads the panels of its services."""

    services: Services
    clock: Clock
    batch_calls: int
    outcomes: list[Outcome] = field(default_factory=list)

    def __post_init__(self) -> None:
        tuning = Tuning(batch_calls=self.batch_calls, **ALONE)
        self.known_good = KnownGood(self.clock)
        known_good = cast("StaleStore", self.known_good)
        cache = PanelCache(PANELS, 10**6, 30, self.clock)
        timers = Timers(self.clock)
        upstreams = [SimulatedUpstream(self.services.behave, name) for name in ("users", "orders", "worker")]
        runners = {
            upstream.spec.name: Batcher(
                ServiceCalls(upstream.spec.name, upstream, 1000, tuning, timers, self.clock), tuning.batch_calls
            )
            for upstream in upstreams
        }
        self.reader = PanelReader(runners, cache, known_good, timers, self.clock)
        self.invalidation = Invalidation(cache, self.reader.in_flight)
        self.invalidation.feed_came()
        self.dashboards = DashboardService(self.reader, known_good, tuning)

    async def read(self, caller: Caller) -> None:
        began, least = self.clock(), self.services.version
        versions = {}
        try:
            read = self.dashboards.read(caller.user, caller.panels, caller.budget_s, no_cache=caller.no_cache)
            views = (await read)[0].panels
            versions = {name: version_of(bytes(view.data)) for name, view in views.items() if view.data}
        except NoPanelAvailable:
            pass
        self.outcomes.append(Outcome(caller, self.clock() - began, least, versions))

    async def change(self, kind: str) -> None:
        await pass_time(0.001)
        self.services.version += 1
        if kind == "unreadable":
            self.invalidation.changed_unreadably()
        elif kind == "feed":
            self.invalidation.feed_lost()
            self.invalidation.feed_came()
        else:
            for user in USERS:
                self.invalidation.changed(Change(user, tuple(panel.name for panel in FOUR), "order.created", b""))


def version_of(data: bytes) -> int:
    read = json.loads(data)
    version: int = read[0] if isinstance(read, list) else read["is"]
    return version


BUDGETS = st.sampled_from([0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1.0, 2.0])
CHOICES = st.sampled_from([ORDERS, FOUR, FOUR[:2], FOUR[2:], FOUR[3:]])
CALLERS = st.builds(Caller, st.floats(0, 0.3), BUDGETS, st.sampled_from(USERS), st.booleans(), CHOICES)
CHANGES = st.sampled_from(["known", "unreadable", "feed"])
STEPS = st.lists(CALLERS | CALLERS | CALLERS | CHANGES, min_size=1, max_size=25)
LATENCY = st.floats(0.001, 1.2)


def play(
    steps: Sequence[Caller | str], latencies: Sequence[float], *, obeys: bool = True, batch_calls: int = 1000
) -> Scene:
    async def played(clock: Clock) -> Scene:
        scene = Scene(Services(latencies, obeys), clock, batch_calls)
        tasks = []
        for step in steps:
            if isinstance(step, str):
                await scene.change(step)
            else:
                await asyncio.sleep(step.after_s)
                tasks.append(asyncio.create_task(scene.read(step)))
                await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        await pass_time(2)
        assert scene.reader.is_idle
        assert len(scene.reader.timers) == 0
        return scene

    return run_virtually(played)


@given(steps=STEPS, latency=LATENCY, obeys=st.booleans())
@settings(max_examples=50, deadline=None)
def test_everybody_gets_what_comes_in_their_own_time(steps: list[Caller | str], latency: float, *, obeys: bool) -> None:
    """A caller who would get a panel alone gets it in company, too; nobody waits beyond their own deadlines."""
    for outcome in play(steps, [latency], obeys=obeys).outcomes:
        patience_s = {panel.name: outcome.caller.patience_s(panel) for panel in outcome.caller.panels}
        assert outcome.seconds <= max(patience_s.values()) + GRAIN_S
        due = {name for name, seconds in patience_s.items() if latency < seconds - GRAIN_S}
        assert due <= outcome.versions.keys(), outcome


@given(
    steps=STEPS,
    latencies=st.lists(LATENCY, min_size=1, max_size=7),
    obeys=st.booleans(),
    batch_calls=st.sampled_from([1, 2, 1000]),
)
@settings(max_examples=50, deadline=None)
def test_nothing_is_older_than_a_change_before_it(
    steps: list[Caller | str], latencies: list[float], *, obeys: bool, batch_calls: int
) -> None:
    """Whatever overtakes whatever; nobody waits beyond their own deadlines, and what is kept as last known never goes
    back."""
    scene = play(steps, latencies, obeys=obeys, batch_calls=batch_calls)
    for outcome in scene.outcomes:
        assert all(version >= outcome.least for version in outcome.versions.values()), outcome
        assert outcome.seconds <= max(map(outcome.caller.patience_s, outcome.caller.panels)) + GRAIN_S
    assert all(history == sorted(history) for history in scene.known_good.history.values())


def test_a_late_answer_replaces_nothing_newer() -> None:
    """A call is given up, another one of the same moment reads a change, and then the first one is answered."""
    both = [Caller(0, 0.3, panels=FOUR), Caller(0, 0.3, no_cache=True)]
    scene = play([*both, "known", *[Caller(0, 0.01)] * 3], [1.0, 0.125], obeys=False, batch_calls=1)
    history = scene.known_good.history["orders", str(USERS[0])]
    assert history == sorted(history)


def test_the_patient_are_not_cut_short_by_the_hasty() -> None:
    """One with a budget of 10 ms begins a read, others join it; the services take 100 ms."""
    callers = [Caller(0, 0.01, panels=FOUR), *(Caller(0.001, 0.8, panels=FOUR) for _ in range(3))]
    outcomes = play(callers, [0.1]).outcomes
    assert [outcome.versions for outcome in outcomes] == [{}, *[{panel.name: 0 for panel in FOUR}] * 3]


def test_the_patient_are_not_cut_short_where_some_panels_have_left() -> None:
    """The orders of one with little time still wait for a call of others to end when a patient one joins them."""
    blocking, hasty = Caller(0, 0.8, USERS[1], panels=ORDERS), Caller(0.01, 0.07, panels=FOUR)
    patient = Caller(0.01, 2.0, panels=FOUR)
    outcomes = play([blocking, hasty, patient], [0.2], batch_calls=1).outcomes
    assert [outcome.caller for outcome in outcomes] == [hasty, blocking, patient]
    assert outcomes[-1].versions == {panel.name: 0 for panel in FOUR}


def test_callers_of_the_same_patience_share_one_read() -> None:
    """Though each comes later than the one before, and so has a later deadline."""
    for budget_s in (1.0, 0.3):
        scene = play([Caller(0.01, budget_s, panels=FOUR) for _ in range(20)], [0.23])
        assert scene.services.calls == 3
        assert [outcome.versions for outcome in scene.outcomes] == [{panel.name: 0 for panel in FOUR}] * 20


def test_who_joined_late_is_asked_for_again() -> None:
    """The service gives up the first read when its time is over, and has time for a second."""
    scene = play([Caller(0, 1.0), Caller(0.7, 1.0)], [5, 0.1])
    assert [outcome.versions for outcome in scene.outcomes] == [{}, {"orders": 0}]


def test_one_panel_that_is_late_costs_the_others_nothing() -> None:
    """Each service is waited for by itself."""
    [outcome] = play([Caller(0, 1.0, panels=FOUR)], [5, 0.1, 0.2]).outcomes
    assert outcome.versions == {"orders": 0, "notifications": 0, "analytics": 0}
