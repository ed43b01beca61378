"""Processes are restarted, then killed, frozen and disconnected, under load: a short version of `make full`."""

from pathlib import Path

import pytest

from tools.devstack.servers.rabbitmq import find_scripts
from tools.devstack.system.processes import Processes
from tools.lab.chaos.dashboard import running_dashboard
from tools.lab.chaos.report import report
from tools.lab.chaos.run import Conditions as Faults
from tools.lab.chaos.run import torment
from tools.lab.chaos.servers import running_servers
from tools.lab.rolling.run import PATIENT, roll
from tools.lab.rolling.run import Conditions as Rolling

RATE = 2.0
"""Actions of clients per second. A busy machine takes longer, so at a high rate it would also have much more to do."""
PERSONS = 3
DOUBLED = ("gateway",)
ROLLING = Rolling(rate=RATE, persons=PERSONS, who=(("gateway", 0),), rest_s=600, empty_share=0.5)
FAULTS = Faults(
    seed=185, seconds=4, rate=RATE, persons=PERSONS, only=frozenset({"kill", "crash"}), in_burst=5, rest_s=600
)
"""The seed gives a kill of a worker and a crash of Postgres."""


@pytest.mark.e2e
@pytest.mark.skipif(find_scripts() is None, reason="starts servers of its own: needs an installed RabbitMQ")
async def test_nothing_is_lost_or_done_twice(servers_folder: Path) -> None:
    """While processes are restarted, no request fails. After any fault, each accepted order takes effect exactly
    once."""
    processes = Processes()
    try:
        async with (
            running_servers(servers_folder, processes) as servers,
            running_dashboard(servers_folder, processes, servers, doubled=DOUBLED, **PATIENT) as system,
        ):
            rolled = await roll(system, ROLLING, print)
            assert len(rolled.journal.orders) > 0
            assert not rolled.failed, rolled.report()
            tormented = await torment(system, servers, FAULTS, print, rolled.journal)
            assert not tormented.failed, report([tormented])
    finally:
        processes.close(3)
