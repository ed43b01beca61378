"""The container backends, regardless of TEST_BACKENDS for the other tests."""

from collections.abc import Iterator

import pytest

from tests.support.backends.containers import ContainerBackends
from tools.devstack.servers.rabbitmq import answers_amqp
from tools.devstack.servers.valkey import answers_ping
from tools.devstack.system.databases import execute, fetch

pytestmark = pytest.mark.docker


@pytest.fixture(scope="module")
def containers() -> Iterator[ContainerBackends]:
    made = ContainerBackends()
    made.begin("postgres", "redis", "rabbitmq")
    try:
        yield made
    finally:
        made.close()


def test_a_killed_postgres_container_keeps_address_and_data(containers: ContainerBackends) -> None:
    """The port and the rows are the same after a kill of the container."""
    execute(containers.postgres.url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
    containers.postgres.kill()
    containers.postgres.start()
    assert fetch(containers.postgres.url, "SELECT n FROM kept")[0]["n"] == 1


def test_a_stopped_redis_container_comes_back(containers: ContainerBackends) -> None:
    """It is unreachable while stopped, and has the same port afterwards."""
    port = containers.redis.port
    containers.redis.stop()
    assert not answers_ping(port)
    containers.redis.start()
    assert answers_ping(port)


def test_a_restarted_rabbitmq_container_keeps_the_policy(containers: ContainerBackends) -> None:
    """The policy of the deployment also applies after a restart."""
    containers.rabbitmq.restart()
    assert answers_amqp(containers.rabbitmq.port)
    assert "delivery-limit" in containers.rabbitmq.rabbitmqctl("list_policies")
