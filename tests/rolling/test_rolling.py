"""One process of each service rolled under load. `make rolling` rolls every one, for longer."""

from pathlib import Path

import pytest

from services.local.servers.rabbitmq_files import find_scripts
from tests.rolling.run import Conditions, run

ONE_OF_EACH = (("users", 1), ("orders", 0), ("worker", 1), ("gateway", 0))


@pytest.mark.e2e
@pytest.mark.skipif(find_scripts() is None, reason="starts servers of its own: needs an installed RabbitMQ")
async def test_rolling_fails_no_request_and_loses_nothing(tmp_path: Path) -> None:
    """Orders, dashboards and live streams go on; every order has its mail and its analytics once."""
    outcome = await run(Conditions(who=ONE_OF_EACH), tmp_path, print)
    assert len(outcome.journal.orders) > 0
    assert not outcome.failed, outcome.report()
