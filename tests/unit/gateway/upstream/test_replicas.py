"""Which replica is asked, on a clock of its own."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from services.gateway.upstream.replicas import Replicas
from tests.support.virtual import pass_time, run_virtually

PAUSE_S = Replicas.FIRST_PAUSE_S


class Service:
    """Replicas of which some are dead; keeps how often each was asked whether it is alive."""

    def __init__(self, count: int) -> None:
        self.dead: set[int] = set()
        self.checked: Counter[int] = Counter()
        self.replicas = Replicas("example", count, self._is_alive)

    async def _is_alive(self, replica: int) -> bool:
        self.checked[replica] += 1
        return replica not in self.dead

    def chosen(self, times: int = 12) -> set[int]:
        return {self.replicas.next() for _ in range(times)}

    async def wait_for(self, replica: int, seconds: float) -> None:
        with self.replicas.watched(replica):
            await asyncio.sleep(seconds)


def on_service(count: int, work: Callable[[Service], Awaitable[None]]) -> None:
    async def run(_: object) -> None:
        service = Service(count)
        await work(service)
        service.replicas.close()

    run_virtually(run)


def test_they_take_turns() -> None:
    """And each list has them all."""

    async def work(service: Service) -> None:
        assert [service.replicas.next() for _ in range(4)] == [1, 2, 0, 1]
        assert service.replicas.in_turn() == [2, 0, 1]

    on_service(3, work)


def test_one_that_failed_is_left_out_until_it_says_that_it_is_alive() -> None:
    """For a pause at least; it is asked beside the requests, which go to the others."""

    async def work(service: Service) -> None:
        service.dead = {1}
        service.replicas.failed(1)
        assert service.chosen() == {0, 2}
        assert sorted(service.replicas.beginning_with(1)) == [0, 1, 2]
        assert service.replicas.beginning_with(1)[-1] == 1
        await asyncio.sleep(PAUSE_S * 10)
        assert service.chosen() == {0, 2}
        assert service.checked[1] >= 5
        service.dead.clear()
        await asyncio.sleep(PAUSE_S * 2)
        assert service.chosen() == {0, 1, 2}

    on_service(3, work)


def test_one_that_fails_again_and_again_is_left_out_for_longer() -> None:
    """Though it says that it is alive; an answer makes good for it."""

    async def work(service: Service) -> None:
        async def pause() -> float:
            service.replicas.failed(1)
            began = asyncio.get_running_loop().time()
            for _ in range(1000):
                await asyncio.sleep(PAUSE_S / 10)
                if service.chosen() != {0}:
                    break
            return asyncio.get_running_loop().time() - began

        pauses = [await pause() for _ in range(6)]
        longest = Replicas.LONGEST_PAUSE_S
        expected = [PAUSE_S, PAUSE_S * 2, PAUSE_S * 4, PAUSE_S * 8, longest, longest]
        assert pauses == pytest.approx(expected, abs=PAUSE_S / 5)
        service.replicas.answered(1)
        assert await pause() == pytest.approx(PAUSE_S, abs=PAUSE_S / 5)

    on_service(2, work)


def test_one_that_is_silent_is_left_out_when_it_is_dead() -> None:
    """Before the request that waits for it has ended; one that is merely slow is not."""

    async def work(service: Service) -> None:
        service.dead = {0}
        waiting = [asyncio.create_task(service.wait_for(replica, 15)) for replica in (0, 0, 1)]
        await pass_time(1)
        assert service.chosen() == {1}
        assert service.checked == {0: 1, 1: 1}
        await asyncio.gather(*waiting)
        await service.wait_for(1, Replicas.SUSPECT_AFTER_S / 2)
        assert service.checked[1] == 1

    on_service(2, work)


def test_one_that_answers_in_time_is_not_asked_whether_it_is_alive() -> None:
    """Who watches it says so, and need not wait for it in a block."""

    async def work(service: Service) -> None:
        service.dead = {0}
        watches = [service.replicas.watch(0) for _ in range(2)]
        await pass_time(Replicas.SUSPECT_AFTER_S / 2)
        first, second = watches
        assert first is not None
        assert second is not None
        first.cancel()
        assert service.chosen() == {0, 1}
        await pass_time(Replicas.SUSPECT_AFTER_S)
        assert service.checked == {0: 1}
        assert service.chosen() == {1}

    on_service(2, work)

    async def alone(service: Service) -> None:
        assert service.replicas.watch(0) is None

    on_service(1, alone)


def test_where_none_is_well_all_are_asked() -> None:
    """And the only one is never left out."""

    async def work(service: Service) -> None:
        for replica in (0, 1):
            service.replicas.failed(replica)
        assert service.chosen() == {0, 1}

    on_service(2, work)

    async def alone(service: Service) -> None:
        service.replicas.failed(0)
        await service.wait_for(0, 15)
        assert service.chosen() == {0}
        assert not service.checked

    on_service(1, alone)
