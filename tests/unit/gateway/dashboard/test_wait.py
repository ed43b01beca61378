"""One dashboard waiting for its panels, on a clock of its own."""

import asyncio
from collections.abc import Awaitable, Callable
from math import inf

import pytest
from starlette.types import Message

from services.gateway.dashboard.pending import AwaitedPanelWait, DisconnectWatcher
from services.gateway.dashboard.wait import TIMED_OUT, PanelWait
from services.gateway.panels import Panel
from services.gateway.upstream.panel_protocol import Answer
from services.gateway.upstream.single_flight import InFlightRead, ReadMark, SingleFlight
from services.gateway.upstream.timers import GRAIN_S, Timers
from shared.observability.telemetry import Origin, Trace
from tests.support.gateway.declared import PANELS
from tests.support.virtual import Clock, pass_time, run_virtually

FOUR = USER, ORDERS, NOTIFICATIONS, ANALYTICS = PANELS[:4]
GOOD, OLD = Answer(b"{}"), Answer(b"[]")


class Services:
    """Reads that end when they are told to; keeps those that nobody waits for."""

    is_suspended = False

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.timers = Timers(clock)
        self.abandoned: list[InFlightRead] = []
        self.flights = SingleFlight(dict.fromkeys(("users", "orders", "worker"), self), lambda _: None, clock)

    def add(self, read: InFlightRead, panels: tuple[Panel, ...]) -> None:
        """It is for the test to let it land."""

    def abandon(self, read: InFlightRead) -> None:
        if read not in self.abandoned:
            self.abandoned.append(read)

    def expect(self, wait: PanelWait, *panels: Panel) -> InFlightRead:
        """Let these be waited for."""
        origin = Origin("request", Trace.start())
        reads = self.flights.reads(panels, ReadMark("1", self.clock(), 0), wait.budget_s, origin)
        wait.expect(panels, reads)
        return reads[panels[0].name]


class Told(PanelWait):
    """Keeps when it was done."""

    def __init__(self, timers: Timers, budget_s: float) -> None:
        super().__init__(timers, budget_s)
        self.done_at: list[float] = []

    def done(self) -> None:
        self.done_at.append(self._timers.clock())


def on_services(work: Callable[[Services], Awaitable[None]]) -> None:
    async def run(clock: Clock) -> None:
        services = Services(clock)
        await work(services)
        assert len(services.timers) == 0

    run_virtually(run)


def test_it_is_done_when_all_have_arrived() -> None:
    """Known answers and those that come, once; each with how long it took."""

    async def work(services: Services) -> None:
        wait, began = Told(services.timers, 60), services.clock()
        wait.put("analytics", GOOD)
        read = services.expect(wait, USER, ORDERS)
        await pass_time(0.1)
        read.resolve({"user": GOOD})
        assert wait.is_waiting
        await pass_time(0.1)
        read.resolve({"orders": GOOD})
        assert wait.done_at == [pytest.approx(began + 0.2)]
        assert not wait.is_waiting
        assert wait.answers == dict.fromkeys(("analytics", "user", "orders"), GOOD)
        assert wait.seconds == pytest.approx({"analytics": 0, "user": 0.1, "orders": 0.2})
        await pass_time(60)
        assert len(wait.done_at) == 1
        assert not services.abandoned

    on_services(work)


def test_a_changed_panel_is_that_of_the_later_read() -> None:
    """A reader joins a read that began before a panel changed, for the other panels: its older answer of the changed
    one is not theirs, though it arrives first."""

    async def work(services: Services) -> None:
        first, second = Told(services.timers, 60), Told(services.timers, 60)
        old = services.expect(first, ORDERS, ANALYTICS)
        services.flights.drop("1", ["analytics"])
        assert services.expect(second, ORDERS, ANALYTICS) is old
        new = services.flights.reads((ANALYTICS,), ReadMark("1", 0, 0), 60, Origin("request", Trace.start()))
        old.resolve({"orders": GOOD, "analytics": OLD})
        assert first.answers == {"orders": GOOD, "analytics": OLD}
        assert second.answers == {"orders": GOOD}
        new["analytics"].resolve({"analytics": GOOD})
        assert second.answers == {"orders": GOOD, "analytics": GOOD}

    on_services(work)


def test_each_panel_has_its_own_deadline() -> None:
    """One that is late counts as timed out; the wait for the others goes on, and its answer comes too late."""

    async def work(services: Services) -> None:
        wait = Told(services.timers, 60)
        read = services.expect(wait, USER, ORDERS)
        await pass_time(USER.timeout_s + GRAIN_S)
        assert wait.answers == {"user": TIMED_OUT}
        assert wait.is_waiting
        read.resolve({"user": GOOD})
        read.resolve({"orders": GOOD})
        assert wait.answers == {"user": TIMED_OUT, "orders": GOOD}
        assert len(wait.done_at) == 1
        assert not services.abandoned

    on_services(work)


def test_a_read_of_which_nothing_came_in_time_is_left() -> None:
    """When the last of its panels is late; other reads go on."""

    async def work(services: Services) -> None:
        wait, began = Told(services.timers, 60), services.clock()
        late = services.expect(wait, USER)
        assert late.panels == (USER,)
        await pass_time(USER.timeout_s + GRAIN_S)
        assert services.abandoned == [late]
        assert wait.done_at == [pytest.approx(began + USER.timeout_s, abs=2 * GRAIN_S)]

    on_services(work)


def test_the_budget_ends_before_the_panels() -> None:
    """All that is missing then is timed out."""

    async def work(services: Services) -> None:
        wait, began = Told(services.timers, 0.1), services.clock()
        read = services.expect(wait, *FOUR)
        read.resolve({"orders": GOOD})
        await pass_time(0.2)
        assert wait.done_at == [pytest.approx(began + 0.1, abs=2 * GRAIN_S)]
        late = dict.fromkeys(("user", "notifications", "analytics"), TIMED_OUT)
        assert wait.answers == {"orders": GOOD} | late
        assert services.abandoned == [read]

    on_services(work)


def test_who_joined_for_one_panel_hears_of_no_other() -> None:
    """The read brings more than that."""

    async def work(services: Services) -> None:
        first, second = Told(services.timers, 60), Told(services.timers, 60)
        read = services.expect(first, USER, ORDERS)
        assert services.expect(second, ORDERS) is read
        read.resolve({"user": GOOD})
        read.resolve({"orders": GOOD})
        assert first.answers.keys() == {"user", "orders"}
        assert second.answers.keys() == {"orders"}
        assert len(second.done_at) == 1

    on_services(work)


def test_one_that_is_given_up_leaves_its_reads() -> None:
    """It is done, and hears nothing of what comes later."""

    async def work(services: Services) -> None:
        wait = Told(services.timers, 60)
        read = services.expect(wait, USER, ORDERS)
        read.resolve({"user": GOOD})
        wait.give_up()
        assert wait.is_given_up
        assert services.abandoned == [read]
        read.resolve({"orders": GOOD})
        assert wait.answers == {"user": GOOD}
        assert len(wait.done_at) == 1

    on_services(work)


# For coroutines.


def disconnecting_after(seconds: float) -> DisconnectWatcher:
    """A client that has sent all of its request, and leaves then."""

    async def receive() -> Message:
        messages.append("asked")
        if len(messages) == 1:
            return {"type": "http.request"}
        await asyncio.sleep(seconds)
        return {"type": "http.disconnect"}

    messages: list[str] = []
    return DisconnectWatcher(receive)


def listeners() -> list[str]:
    return [name for task in asyncio.all_tasks() if "DisconnectWatcher" in (name := str(task.get_coro()))]


def test_a_coroutine_goes_on_when_all_have_arrived() -> None:
    """At once where all is known."""

    async def work(services: Services) -> None:
        known = AwaitedPanelWait(services.timers, 60)
        known.put("user", GOOD)
        await known.wait()
        wait, began = AwaitedPanelWait(services.timers, 60), services.clock()
        read = services.expect(wait, ORDERS)
        asyncio.get_running_loop().call_later(0.3, read.resolve, {"orders": GOOD})
        await wait.wait()
        assert services.clock() == pytest.approx(began + 0.3)
        assert not wait.is_given_up
        assert wait.answers == {"orders": GOOD}

    on_services(work)


def test_a_coroutine_goes_on_when_its_time_is_over() -> None:
    """With a timeout for what is missing."""

    async def work(services: Services) -> None:
        wait, began = AwaitedPanelWait(services.timers, 0.2), services.clock()
        services.expect(wait, ORDERS)
        await wait.wait()
        assert services.clock() == pytest.approx(began + 0.2, abs=2 * GRAIN_S)
        assert wait.answers == {"orders": TIMED_OUT}
        assert not wait.is_given_up

    on_services(work)


def test_a_coroutine_that_is_cancelled_leaves_its_reads() -> None:
    """So that nothing goes on for nobody."""

    async def work(services: Services) -> None:
        wait = AwaitedPanelWait(services.timers, 60, disconnecting_after(inf), 0.05)
        read = services.expect(wait, USER, ORDERS)
        waiting = asyncio.create_task(wait.wait())
        await pass_time(0.1)
        assert len(listeners()) == 1
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        assert services.abandoned == [read]
        await asyncio.sleep(0)
        assert listeners() == []

    on_services(work)


def test_a_client_that_leaves_ends_the_wait() -> None:
    """Whoever waits for a while is watched."""

    async def work(services: Services) -> None:
        wait, began = AwaitedPanelWait(services.timers, 60, disconnecting_after(0.1), 0.05), services.clock()
        read = services.expect(wait, ORDERS)
        await wait.wait()
        assert services.clock() == pytest.approx(began + 0.15, abs=2 * GRAIN_S)
        assert wait.is_given_up
        assert services.abandoned == [read]
        await asyncio.sleep(0)
        assert listeners() == []

    on_services(work)


def test_a_client_who_does_not_wait_long_is_not_watched() -> None:
    """That would take a task for each."""

    async def work(services: Services) -> None:
        wait = AwaitedPanelWait(services.timers, 60, disconnecting_after(0), 0.05)
        read = services.expect(wait, ORDERS)
        waiting = asyncio.create_task(wait.wait())
        await pass_time(0.04)
        assert listeners() == []
        read.resolve({"orders": GOOD})
        await waiting
        await pass_time(1)
        assert listeners() == []

    on_services(work)
