"""What operators are told of the whole system."""

from typing import Any

from shared.tokens import Role
from tests.support.gateway.stub import Exchange, StubService, hang, replies
from tests.support.gateway.world import World

PATH = "/v1/admin/status"
READY = b'{"status": "ready", "checks": {"postgres": "ok"}}'
WORKER = b"""# TYPE worker_queue_messages gauge
worker_queue_messages{queue="worker.email"} 7.0
# TYPE worker_queue_consumers gauge
worker_queue_consumers{queue="worker.email"} 2.0
# TYPE worker_jobs_dead gauge
worker_jobs_dead{error_group="a",job="email"} 3.0
worker_jobs_dead{error_group="b",job="email"} 1.0
# TYPE worker_jobs_retrying gauge
worker_jobs_retrying{job="email"} 5.0
# TYPE worker_jobs_total counter
worker_jobs_total{job="email",outcome="done"} 40.0
worker_jobs_total{job="email",outcome="dead"} 4.0
"""
ORDERS = b"""# TYPE outbox_waiting gauge
outbox_waiting 12.0
# TYPE outbox_oldest_age_seconds gauge
outbox_oldest_age_seconds 1.26
"""


def _says(service: StubService, metrics: bytes) -> None:
    async def text(exchange: Exchange) -> None:
        await exchange.reply(metrics, headers="Content-Type: text/plain; version=0.0.4\r\n")

    service.behaviours |= {"/readyz": replies(READY), "/metrics": text}


async def _status(world: World, role: Role = "admin") -> dict[str, Any]:
    answer = await world.client.get(PATH, headers=world.bearer(role=role))
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def test_everything_on_one_screen(world: World) -> None:
    """Each process' health, queues, outboxes, jobs, breakers, and how panels were answered."""
    _says(world.users, ORDERS)
    _says(world.orders, ORDERS)
    _says(world.worker, WORKER)
    await world.client.get("/v1/dashboard", headers=world.bearer())
    told = await _status(world, "support")
    assert {each["name"]: each["status"] for each in told["processes"]} == {
        "gateway": "degraded",  # without RabbitMQ
        "users": "ready",
        "orders": "ready",
        "worker": "ready",
    }
    assert told["queues"] == [{"name": "worker.email", "messages": 7, "consumers": 2}]
    assert told["jobs"] == [{"job": "email", "attempts": 44, "retrying": 5, "dead": 4}]
    assert {"service": "orders", "rows": 12, "oldest_s": 1.3} in told["outboxes"]
    assert {each["breaker"] for each in told["services"]} == {"closed"}
    orders = next(each for each in told["panels"] if each["name"] == "orders")
    assert orders["calls"] >= 1
    assert orders["p50_ms"] > 0
    assert not told["gateway"]["feed_connected"]


async def test_what_cannot_be_asked_delays_and_hides_nothing(world: World) -> None:
    """A process that hangs is unreachable, with the reason; one that answers oddly, too; the others are told."""
    _says(world.orders, ORDERS)
    world.worker.behaviours |= {"/readyz": hang, "/metrics": hang}
    told = await _status(world)
    found = {each["name"]: each for each in told["processes"]}
    assert found["worker"]["error"] == "no answer within 3 s"
    assert found["users"]["status"] == "unreachable"
    assert "odd answer" in found["users"]["error"]
    assert found["orders"]["status"] == "ready"
    assert (told["queues"], told["jobs"]) == ([], [])
    assert {"service": "users", "rows": None, "oldest_s": None} in told["outboxes"]


async def test_many_operators_ask_once(world: World) -> None:
    """Within a second, nobody is asked again."""
    _says(world.orders, ORDERS)
    for _ in range(5):
        await _status(world)
    assert sum(request.target == "/readyz" for request in world.orders.received) == 1


async def test_it_is_for_operators(world: World) -> None:
    assert (await world.client.get(PATH)).status_code == 401
    assert (await world.client.get(PATH, headers=world.bearer())).status_code == 403
    described = (await world.client.get("/openapi.json")).json()["paths"][PATH]["get"]
    assert described["security"] == [{"user": []}]
