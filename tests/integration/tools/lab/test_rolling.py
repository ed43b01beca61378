"""Every process is restarted under load. `make rolling` runs longer."""

from pathlib import Path

import pytest

from tools.devstack.servers.rabbitmq import find_scripts
from tools.lab.rolling.run import Conditions, run

WHOLE = Conditions(rate=2.0, rest_s=600, empty_share=0.1)
"""A busy machine is slow, so the limit is higher and the rate is lower than in `make rolling`. With 8 actions per
second, beside other tests, this took ten minutes."""


@pytest.mark.e2e
@pytest.mark.full
@pytest.mark.skipif(find_scripts() is None, reason="starts servers of its own: needs an installed RabbitMQ")
async def test_rolling_fails_no_request_and_loses_nothing(servers_folder: Path) -> None:
    """Orders, dashboards and live streams continue; every order has its mail and its analytics once."""
    outcome = await run(WHOLE, servers_folder, print)
    assert len(outcome.journal.orders) > 0
    assert not outcome.failed, outcome.report()
