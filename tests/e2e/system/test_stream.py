"""Live streams of a gateway that receives SIGTERM."""

import asyncio
import os
import signal

import pytest

from tests.support.sse import reading
from tests.support.stack.budgets import UNHURRIED
from tests.support.stack.running import PATIENCE_S, Person, Stack
from tests.support.waiting import eventually

pytestmark = pytest.mark.e2e

GRACE_S = float(UNHURRIED["SHUTDOWN_GRACE_S"])


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.full
async def test_open_streams_do_not_hold_a_stop(stack: Stack, person: Person) -> None:
    """SIGTERM ends them with an event, and the process exits long before the end of its grace period. The next one
    continues with the versions that the client has: nothing is sent twice."""
    await eventually(lambda: asyncio.to_thread(person.panel, "notifications"), PATIENCE_S)  # no event follows
    bearer = {"Authorization": str(person.http.headers["Authorization"])}
    url = f"{stack.url}/v1/dashboard/events"
    async with reading(url, bearer) as first, reading(url, bearer) as second:
        await first.until("ready")
        await second.until("ready")
        (pid,) = stack.pids("gateway")
        os.kill(pid, signal.SIGTERM)
        for reader in (first, second):
            assert (await reader.until("end")).data == {"reason": "shutting_down"}
        await eventually(lambda: _gone(pid), within=GRACE_S / 2)
        last = [told.id for told in first.events if told.id][-1]
    await eventually(lambda: asyncio.to_thread(stack.recovered), PATIENCE_S)
    await eventually(lambda: _tells_nothing(url, bearer | {"Last-Event-ID": last}), PATIENCE_S)


async def _tells_nothing(url: str, headers: dict[str, str]) -> bool:
    """Check that no change arrives. A late panel would be sent although nothing changed; then the check is repeated."""
    async with reading(url, headers) as again:
        await again.until("ready")
        return not again.of("panel")
