"""Which node of several is asked next."""

import pytest

from shared.db.hosts import each_host
from shared.rabbitmq import Nodes


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
