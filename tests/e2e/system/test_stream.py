"""Live streams of a gateway that is told to stop."""

import asyncio
import os
import signal

import pytest

from tests.support.sse import reading
from tests.support.stack.budgets import UNHURRIED
from tests.support.stack.running import PATIENCE_S, Person, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

GRACE_S = float(UNHURRIED["GATEWAY_SHUTDOWN_GRACE_S"])


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_open_streams_do_not_hold_a_stop(stack: Stack, person: Person) -> None:
    """SIGTERM ends them with a word, the process is gone long before its grace is over, and the next one serves who
    comes back with what they have: nothing is told twice."""
    bearer = {"Authorization": str(person.http.headers["Authorization"])}
    url = f"{stack.url}/v1/dashboard/events"
    async with reading(url, bearer) as first, reading(url, bearer) as second:
        last = (await first.until("ready")).id
        await second.until("ready")
        (pid,) = stack.pids("gateway")
        os.kill(pid, signal.SIGTERM)
        for reader in (first, second):
            assert (await reader.until("end")).data == {"reason": "shutting_down"}
        await eventually(lambda: _gone(pid), within=GRACE_S / 2)
    await eventually(lambda: asyncio.to_thread(stack.recovered), PATIENCE_S)
    async with reading(url, bearer | {"Last-Event-ID": last}) as again:
        await again.until("ready")
        assert not again.of("panel")
