"""A minute of faults, the same each time. `make chaos` does longer runs, with other seeds."""

from pathlib import Path

import pytest

from tools.devstack.servers.rabbitmq import find_scripts
from tools.lab.chaos.dashboard import running_dashboard
from tools.lab.chaos.report import report
from tools.lab.chaos.run import Conditions, run

WHOLE = Conditions(seed=83, seconds=60, rate=4.0, rest_s=600)
"""A seed whose faults are of nearly every kind. The rate is half of that of `make chaos`, because other tests run
beside it."""


@pytest.mark.e2e
@pytest.mark.full
@pytest.mark.skipif(find_scripts() is None, reason="kills servers of its own: needs an installed RabbitMQ")
async def test_nothing_is_lost_or_done_twice(servers_folder: Path) -> None:
    """While processes are killed, frozen and disconnected, each accepted order takes effect exactly once."""
    outcome = await run(running_dashboard, WHOLE, servers_folder, print)
    assert len(outcome.journal.orders) > 0
    assert not outcome.failed, report([outcome])
