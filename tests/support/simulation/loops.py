"""Loops of simulations in tests."""

import asyncio
import warnings

from tests.support import garbage
from tools.lab.simulation.machine.loop import SimulationLoop


def close(loop: SimulationLoop) -> None:
    """Close the loop of a simulation, and free what its processes have left: not in the middle of another test."""
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # of the connections of killed processes
        garbage.collect()


async def pass_time(seconds: float) -> None:
    """Advance the clock of a simulation by this time."""
    assert isinstance(asyncio.get_running_loop(), SimulationLoop)
    await asyncio.sleep(seconds)
