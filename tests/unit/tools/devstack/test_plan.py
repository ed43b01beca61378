import os
import socket
from dataclasses import replace

import pytest

from tools.devstack.plan import Addresses, choose_port, own_environment, parse_replicas, plan, shared_environment
from tools.devstack.system import ports
from tools.devstack.system.errors import PortTaken, StackError
from tools.devstack.system.ports import free_port

_DATABASES = {"users": "u", "orders": "o", "worker": "w"}
_ADDRESSES = Addresses(_DATABASES, "redis", "amqp", "smtp", "file:///uploads", "http://traces")
_SECRETS = {"INTERNAL_TOKEN_SECRET": "s", "USERS_SIGNING_KEYS": "k", "WORKER_WEBHOOK_SECRET_KEYS": "w"}


@pytest.mark.parametrize("text", ["gateway", "gateway=0", "gateway=x", "postgres=2", "users=99", "=1", "postgres=cpu"])
def test_replicas_that_make_no_sense_are_refused(text: str) -> None:
    """Each error shows the valid values."""
    with pytest.raises(StackError, match=r"expected NAME=1\.\.32"):
        parse_replicas([text])


def test_replicas_by_cpu() -> None:
    """There is one replica for each core that the process may use."""
    assert parse_replicas(["worker=cpu", "orders=2"]) == {"worker": len(os.sched_getaffinity(0)), "orders": 2}


def test_a_port_that_was_asked_for_and_is_taken_is_refused() -> None:
    """If a port is requested, no other port is used instead."""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortTaken, match="is taken"):
        choose_port(taken.getsockname()[1])


def test_gateways_know_all_replicas() -> None:
    """The gateway receives a service's replicas as one list of URLs; gateways have consecutive ports."""
    planned = plan(19_000, {"users": 2, "gateway": 2})
    env = shared_environment(_ADDRESSES, planned, _SECRETS)
    users = [one.url for one in planned if one.name == "users"]
    assert env["GATEWAY_USERS_URL"] == ",".join(users)
    assert env["GATEWAY_JWKS_URL"] == ",".join(f"{url}/.well-known/jwks.json" for url in users)
    assert [one.label for one in planned] == ["users", "users-2", "orders", "worker", "gateway", "gateway-2"]
    first, second = (one.port for one in planned if one.name == "gateway")
    assert first == 19_000
    assert second > first


def test_registration_knows_what_the_mail_catcher_takes() -> None:
    """The capabilities of an external mail server are known only from settings."""
    planned = plan(19_200, {})
    assert "USERS_MAIL_SMTPUTF8" not in shared_environment(_ADDRESSES, planned, _SECRETS)
    own = replace(_ADDRESSES, smtputf8=True)
    assert shared_environment(own, planned, _SECRETS)["USERS_MAIL_SMTPUTF8"] == "true"


def test_only_a_gateway_has_an_internal_port() -> None:
    """Each process receives its own address, and the gateway a second port for metrics."""
    planned = plan(19_100, {})
    orders, gateway = (one for one in planned if one.name in ("orders", "gateway"))
    assert own_environment(orders, planned) == {"LISTEN_HOST": "127.0.0.1", "ORDERS_PORT": str(orders.port)}
    assert own_environment(gateway, planned)["GATEWAY_INTERNAL_PORT"] == str(gateway.internal_port)


def test_only_a_process_with_a_replica_drains() -> None:
    """Without a replica that takes over, there is no reason to wait."""
    planned = plan(19_300, {"users": 2})
    draining = [one.label for one in planned if "DRAIN_S" in own_environment(one, planned)]
    assert draining == ["users", "users-2"]


def test_nobody_is_given_a_gateways_port(monkeypatch: pytest.MonkeyPatch) -> None:
    """The port looks free because nothing listens on it yet."""
    first = free_port()
    drawn = [first, *(free_port() for _ in range(8))]
    monkeypatch.setattr(ports, "_given", set())
    monkeypatch.setattr("random.choice", lambda _: drawn.pop(0))
    planned = plan(first, {"gateway": 2})
    taken = [port for one in planned for port in (one.port, one.internal_port)]
    assert len(taken) == len(set(taken))
