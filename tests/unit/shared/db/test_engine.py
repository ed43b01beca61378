"""Which failures of a database are an outage, and so 503."""

import asyncpg
import pytest
from sqlalchemy import exc

from shared.db.engine import is_outage

OUTAGES = [
    asyncpg.DiskFullError("no space left on device"),
    asyncpg.TooManyConnectionsError("sorry, too many clients already"),
    asyncpg.PostgresIOError("could not read block"),
    asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    ConnectionRefusedError(111, "refused"),
    TimeoutError(),
]
DEFECTS = [asyncpg.UniqueViolationError("again"), asyncpg.UndefinedTableError("none"), KeyError("x")]


def _by_sqlalchemy(error: Exception) -> Exception:
    """As it comes out of a session: wrapped twice."""
    original = RuntimeError()
    original.__cause__ = error
    return exc.InternalError("SELECT 1", None, original)


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_an_outage_is_one_however_it_comes(error: Exception) -> None:
    """Trying again later may help, whether asyncpg says so or SQLAlchemy."""
    assert is_outage(error)
    assert is_outage(_by_sqlalchemy(error))


@pytest.mark.parametrize("error", DEFECTS, ids=lambda error: type(error).__name__)
def test_what_no_waiting_mends_is_no_outage(error: Exception) -> None:
    """A defect is answered 500 and logged."""
    assert not is_outage(error)
    assert not is_outage(_by_sqlalchemy(error))
