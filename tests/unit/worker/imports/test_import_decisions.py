"""What an import's worker decides when something fails, and what it tells. No servers."""

import asyncpg
import pytest

from services.worker.imports.importer import MAX_FAILURES, PAUSE_CAP_S, explanation, is_hopeless, pause_s
from services.worker.imports.orders import BatchRefused, OrdersAway
from services.worker.imports.repository import eta_s
from services.worker.imports.storage import FileGone, StorageUnavailable


@pytest.mark.parametrize("error", [OrdersAway(), StorageUnavailable(), ConnectionError(), asyncpg.QueryCanceledError()])
def test_outages_are_waited_for(error: Exception) -> None:
    """However often they come in a row."""
    assert not is_hopeless(error, 1000)


@pytest.mark.parametrize("error", [FileGone(), BatchRefused()])
def test_what_will_not_mend_ends_the_import(error: Exception) -> None:
    assert is_hopeless(error, 1)


def test_a_defect_is_tried_again_some_times() -> None:
    """It may be of the moment; its words are for the log, not for the user."""
    assert not is_hopeless(KeyError("secret"), MAX_FAILURES - 1)
    assert is_hopeless(KeyError("secret"), MAX_FAILURES)
    assert "secret" not in explanation(KeyError("secret"))


def test_pauses_grow_to_a_limit() -> None:
    assert 0.5 <= pause_s(1) <= 1
    assert PAUSE_CAP_S / 2 <= pause_s(10_000) <= PAUSE_CAP_S


def test_the_time_that_is_left() -> None:
    """By the rate; nobody can tell before there is one, or when it does not run."""
    assert eta_s("running", 1000, 300, 100, 50.0) == 12
    assert eta_s("running", 1000, 300, 900, 50.0) == 0
    assert eta_s("running", 1000, 0, 0, None) is None
    assert eta_s("completed", 1000, 1000, 0, 50.0) is None
