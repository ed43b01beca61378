"""What leaves together, what waits, and for whom a call goes on."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial

import pytest

from services.gateway.dashboard.cache import Fill
from services.gateway.dashboard.models import Answer
from services.gateway.upstream.batching import Batcher, BatchPolicy
from services.gateway.upstream.errors import TooLate
from services.gateway.upstream.single_flight import Flight
from shared.contracts.panels import MAX_IDS
from tests.support.waiting import eventually

GOOD = Answer(user_missing=True)


@dataclass
class Service:
    """Answers a call when it is told to."""

    asked: list[Sequence[str]] = field(default_factory=list)
    answers: list[asyncio.Future[Sequence[Answer]]] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    cancelled: int = 0

    async def __call__(self, user_ids: Sequence[str], deadline: float) -> Sequence[Answer]:
        self.asked.append(user_ids)
        self.deadlines.append(deadline)
        self.answers.append(asyncio.get_running_loop().create_future())
        try:
            return await self.answers[-1]
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    def was_asked(self, times: int) -> bool:
        return len(self.asked) == times

    def answer(self, call: int) -> None:
        self.answers[call].set_result([GOOD] * len(self.asked[call]))


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    """Ends in the end what is still being asked."""
    asked = Service()
    yield asked
    for answer in asked.answers:
        answer.cancel()


class Passenger:
    def __init__(self, flight: Flight, seconds: float = 60) -> None:
        self.flight = flight
        self.heard: list[Answer] = []
        flight.join(self, time.monotonic() + seconds)

    def has_heard(self) -> bool:
        return bool(self.heard)

    def arrived(self, _: str, answer: Answer) -> None:
        self.heard.append(answer)


def begin(batches: Batcher, user_id: str) -> Flight:
    return batches.begin(Fill(user_id, 0, 0), copy_context())


def batcher(service: Service, patience_s: float = 60) -> Batcher:
    return Batcher("user", service, BatchPolicy(in_flight=2, patience_s=patience_s))


async def test_nothing_waits_while_nothing_is_in_flight(service: Service) -> None:
    """A single question leaves at once, alone; what is asked in the same moment leaves with it."""
    batches = batcher(service)
    Passenger(begin(batches, "1"))
    await eventually(lambda: service.asked == [["1"]])
    Passenger(begin(batches, "2"))
    Passenger(begin(batches, "3"))
    await eventually(lambda: service.asked == [["1"], ["2", "3"]])


async def test_what_gathers_meanwhile_leaves_together(service: Service) -> None:
    """With two calls in flight others wait; when one ends, they go in one call, and all get their answers."""
    batches = batcher(service)
    passengers = []
    for number in range(10):
        passengers.append(Passenger(begin(batches, str(number))))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert service.asked == [["0"], ["1"]]
    service.answer(1)
    await eventually(lambda: len(service.asked) == 3)
    assert service.asked[2] == [str(number) for number in range(2, 10)]
    service.answer(0)
    service.answer(2)
    await eventually(lambda: all(passenger.heard == [GOOD] for passenger in passengers))
    await eventually(lambda: batches.is_idle)


async def test_no_call_asks_for_more_than_a_service_takes(service: Service) -> None:
    """The rest goes in the next."""
    batches = batcher(service)
    for number in range(MAX_IDS + 5):
        Passenger(begin(batches, str(number)))
    await eventually(lambda: [len(ids) for ids in service.asked] == [MAX_IDS, 5])


async def test_a_slow_call_holds_nobody_back_for_long(service: Service) -> None:
    """After the patience is over the next leave, though two calls are still in flight."""
    batches = batcher(service, patience_s=0.01)
    for number in range(4):
        Passenger(begin(batches, str(number)))
        await eventually(partial(service.was_asked, number + 1))
    service.answer(0)
    await eventually(lambda: service.answers[0].done())


async def test_one_who_leaves_does_not_end_the_call_of_others(service: Service) -> None:
    """The call goes on until nobody waits for any of its answers, and is cancelled then."""
    batches = batcher(service)
    hasty, patient = Passenger(begin(batches, "1")), Passenger(begin(batches, "2"), 60)
    await eventually(lambda: service.asked == [["1", "2"]])
    hasty.flight.leave(hasty)
    await asyncio.sleep(0)
    assert service.cancelled == 0
    patient.flight.leave(patient)
    assert batches.is_idle
    await eventually(lambda: service.cancelled == 1)
    assert not hasty.heard
    assert not patient.heard


async def test_the_longest_wait_counts(service: Service) -> None:
    """The service is given until the latest deadline of all who wait."""
    batches = batcher(service)
    Passenger(begin(batches, "1"), 60)
    longest = Passenger(begin(batches, "2"), 90).flight.deadline
    await eventually(lambda: service.deadlines == [longest])


async def test_who_has_not_left_yet_is_joined_or_forgotten(service: Service) -> None:
    """A question that waits is joined by the same question, and never asked when its asker leaves."""
    batches = batcher(service)
    first = Passenger(begin(batches, "1"))
    assert begin(batches, "1") is first.flight
    first.flight.leave(first)
    assert batches.is_idle
    await asyncio.sleep(0)  # it would leave now
    await asyncio.sleep(0)
    assert not service.asked


async def test_whatever_goes_wrong_is_an_answer(service: Service) -> None:
    """A service's failure is told by its code, a defect of ours as internal, a call that does not end as timeout."""
    batches = batcher(service)
    for failure, code in ((TooLate("x"), "timeout"), (KeyError("x"), "internal")):
        passenger = Passenger(begin(batches, "1"))
        await eventually(lambda: bool(service.answers) and not service.answers[-1].done())
        service.answers[-1].set_exception(failure)
        await eventually(passenger.has_heard)
        assert passenger.heard == [Answer(error=code)]  # type: ignore[arg-type]  # a literal in the loop's tuple
    late = Passenger(begin(batches, "1"), 0.01)
    await eventually(lambda: late.heard == [Answer(error="timeout")])
    await eventually(lambda: batches.is_idle)


async def departed(service: Service) -> None:
    """Takes turns of the event loop only."""
    for _ in range(10):
        await asyncio.sleep(0)
    assert service.asked


async def test_who_joins_a_call_under_way_extends_it(service: Service) -> None:
    """It goes on until the latest deadline of all who wait by then, though the first to ask had little time."""
    batches = batcher(service)
    hasty = Passenger(begin(batches, "1"), 0.3)
    await departed(service)
    patient = Passenger(hasty.flight, 60)
    await eventually(lambda: time.monotonic() > service.deadlines[0] + 0.05)
    assert not patient.heard
    service.answer(0)
    await eventually(lambda: patient.heard == [GOOD])


async def test_who_joined_is_asked_for_again_where_the_service_gives_up(service: Service) -> None:
    """The service has taken all the time that it was given; those who have more get a call of their own."""
    batches = batcher(service)
    hasty, alone = Passenger(begin(batches, "1"), 0.3), Passenger(begin(batches, "2"), 0.3)
    await departed(service)
    patient = Passenger(hasty.flight, 60)
    await eventually(lambda: time.monotonic() > service.deadlines[0])
    service.answers[0].set_exception(TooLate("x"))
    await eventually(lambda: service.asked[1:] == [["1"]])
    assert alone.heard == [Answer(error="timeout")]
    service.answer(1)
    await eventually(lambda: patient.heard == [GOOD])
    await eventually(lambda: batches.is_idle)
