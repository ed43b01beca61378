"""One dashboard waiting for its panels."""

import asyncio
import time
from contextvars import copy_context

import pytest
from starlette.types import Message

from services.gateway.dashboard.cache import Fill
from services.gateway.dashboard.departure import ClientGone, Departure
from services.gateway.dashboard.models import Answer
from services.gateway.dashboard.wait import TIMED_OUT, Gathering
from services.gateway.upstream.single_flight import Flight
from tests.support.waiting import eventually

GOOD = Answer(user_missing=True)


@pytest.fixture
def abandoned() -> list[Flight]:
    return []


def flight_of(panel: str, abandoned: list[Flight]) -> Flight:
    return Flight(panel, Fill("1", 0, 0), copy_context(), abandoned.append)


def soon() -> float:
    return time.monotonic() + 0.02


def much_later() -> float:
    return time.monotonic() + 60


async def test_it_ends_when_all_have_arrived(abandoned: list[Flight]) -> None:
    """Known answers and those that come; nobody is left behind."""
    gathering = Gathering(60)
    flights = [flight_of(panel, abandoned) for panel in ("user", "orders")]
    gathering.put("analytics", GOOD)
    for flight in flights:
        gathering.expect(flight, much_later())
        asyncio.get_running_loop().call_soon(flight.land, GOOD)
    await gathering.wait()
    assert gathering.answers == dict.fromkeys(("analytics", "user", "orders"), GOOD)
    assert gathering.seconds.keys() == gathering.answers.keys()
    assert not abandoned


async def test_each_panel_has_its_own_deadline(abandoned: list[Flight]) -> None:
    """One that is late is left and counts as timed out; the wait for the others goes on."""
    gathering = Gathering(60)
    late, slow = flight_of("user", abandoned), flight_of("orders", abandoned)
    gathering.expect(late, soon())
    gathering.expect(slow, much_later())
    waiting = asyncio.create_task(gathering.wait())
    await eventually(lambda: abandoned)
    assert abandoned == [late]
    assert not waiting.done()
    slow.land(GOOD)
    await waiting
    assert gathering.answers == {"user": TIMED_OUT, "orders": GOOD}


async def test_a_wait_that_is_cancelled_leaves_its_flights(abandoned: list[Flight]) -> None:
    """So that nothing goes on for nobody."""
    gathering = Gathering(60)
    flight = flight_of("user", abandoned)
    gathering.expect(flight, much_later())
    waiting = asyncio.create_task(gathering.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert abandoned == [flight]


async def test_a_client_that_leaves_ends_the_wait(abandoned: list[Flight]) -> None:
    """Whoever waits for a while is watched."""
    messages: list[Message] = [{"type": "http.request"}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    gathering = Gathering(0.01, Departure(receive))
    flight = flight_of("user", abandoned)
    gathering.expect(flight, much_later())
    with pytest.raises(ClientGone):
        await gathering.wait()
    assert abandoned == [flight]
    assert not any("Departure" in str(task.get_coro()) for task in asyncio.all_tasks())
