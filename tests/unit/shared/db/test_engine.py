"""Which failures of a database are an outage, and so 503.

Which node of several is asked next.
"""

import asyncpg
import pytest
from sqlalchemy import exc

from shared.db.engine import each_host, is_outage
from shared.rabbitmq import Nodes

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


def test_every_attempt_takes_the_next_node() -> None:
    """After as many attempts as there are nodes each has been tried once, whichever was the first."""
    nodes = Nodes("amqp://u:p@a/v, amqps://u:p@b:5671/v,amqp://u:p@c/v?heartbeat=3")
    tried = [nodes.next() for _ in range(6)]
    assert {url.host for url in tried[:3]} == {"a", "b", "c"}
    assert tried[:3] == tried[3:]
    assert {url.host: url.query["heartbeat"] for url in tried} == {"a": "10", "b": "10", "c": "3"}


def test_a_password_may_contain_a_comma() -> None:
    """Only the beginning of another URL ends one."""
    assert [url.password for url in Nodes("amqp://u:a,b@host/").urls] == ["a,b"]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@a:1/n", ["postgresql://u:p@a:1/n"]),
        ("postgresql://u:p@a:1/n?sslmode=require", ["postgresql://u:p@a:1/n?sslmode=require"]),
        (
            "postgresql://u:p@a:1,b/n?sslmode=require",
            [
                "postgresql://u:p@a:1/n?target_session_attrs=primary&sslmode=require",
                "postgresql://u:p@b/n?target_session_attrs=primary&sslmode=require",
            ],
        ),
        (
            "postgresql://a,b/n?target_session_attrs=any",
            ["postgresql://a/n?target_session_attrs=any", "postgresql://b/n?target_session_attrs=any"],
        ),
    ],
)
def test_of_several_hosts_the_primary_is_meant(url: str, expected: list[str]) -> None:
    """Unless the URL says otherwise; one host is taken as it is."""
    assert each_host(url) == expected
