"""An event loop with a virtual clock: only waiting takes time, and it passes at once."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
BEGINNING_S = 1000.0


class _Skipping(selectors.DefaultSelector):
    """Advances the clock by the time that the loop would wait."""

    now = BEGINNING_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("nothing is left to happen")
        self.now += max(0.0, timeout)
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self._clock = _Skipping()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now


Clock = Callable[[], float]


def run_virtually(work: Callable[[Clock], Coroutine[Any, Any, T]]) -> T:
    """Run the work to its end; it receives the loop's clock."""
    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(work(loop.time))


async def pass_time(seconds: float) -> None:
    """Advance the clock of a virtual loop by this time."""
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)
    await asyncio.sleep(seconds)
