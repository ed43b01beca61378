"""The status of the whole system for operators."""

from typing import Any

import pytest

from services.gateway import status
from services.gateway.latency import FEWEST
from services.gateway.openapi.merge import FOR_USERS
from shared.http.tokens import Role
from tests.support.gateway.patience import PATIENCE_S
from tests.support.gateway.stub import Exchange, StubService, hang, replies
from tests.support.gateway.world import World
from tests.support.waiting import eventually

PATH = "/v1/admin/status"
SOON_S = 0.2
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


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set timeouts that no process of the tests exceeds, and keep the status for the whole test."""
    monkeypatch.setattr(status, "TIMEOUT_S", PATIENCE_S)
    monkeypatch.setattr(status, "KEEP_S", PATIENCE_S)


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
    """The status has each process's health, queues, outboxes, jobs, breakers, problems, and the outcomes of panels."""
    _says(world.users, ORDERS)
    _says(world.orders, ORDERS)
    _says(world.worker, WORKER)
    for _ in range(FEWEST):
        await world.client.get("/v1/dashboard", headers={**world.bearer(), "Cache-Control": "no-cache"})
    told = await _status(world, "support")
    assert {each["name"]: each["status"] for each in told["processes"]} == {
        "gateway": "degraded",  # without RabbitMQ
        "users": "ready",
        "orders": "ready",
        "worker": "ready",
    }
    assert told["queues"] == [{"name": "worker.email", "messages": 7, "consumers": 2, "paused": False}]
    assert told["jobs"] == [{"job": "email", "attempts": 44, "retrying": 5, "dead": 4}]
    assert {"service": "orders", "rows": 12, "oldest_s": 1.3} in told["outboxes"]
    assert {each["breaker"] for each in told["services"]} == {"closed"}
    orders = next(each for each in told["panels"] if each["name"] == "orders")
    assert orders["calls"] >= FEWEST
    assert orders["p50_ms"] > 0
    assert not told["gateway"]["feed_connected"]
    assert "4 dead jobs of email" in told["problems"]
    assert "outbox of worker unknown" in told["problems"]
    assert any(problem.startswith("gateway is degraded: ") for problem in told["problems"])


async def test_what_cannot_be_asked_delays_and_hides_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hanging process is unreachable, with the reason, and so is one with an invalid response; the others are
    shown."""
    monkeypatch.setattr(status, "TIMEOUT_S", SOON_S)
    monkeypatch.setattr(status, "KEEP_S", 0)
    _says(world.orders, ORDERS)
    world.worker.behaviours |= {"/readyz": hang, "/metrics": hang}

    async def others_are_told() -> bool:
        """The others may be too slow once on a busy machine."""
        told = await _status(world)
        found = {each["name"]: each for each in told["processes"]}
        assert found["worker"]["error"] == f"no answer within {SOON_S} s"
        assert found["users"]["status"] == "unreachable"
        assert (told["queues"], told["jobs"]) == ([], [])
        assert {"service": "users", "rows": None, "oldest_s": None} in told["outboxes"]
        return "unexpected response" in found["users"]["error"] and found["orders"]["status"] == "ready"

    await eventually(others_are_told)


async def test_many_operators_ask_once(world: World) -> None:
    """While the status is kept, no process is queried again."""
    _says(world.orders, ORDERS)
    for _ in range(5):
        await _status(world)
    assert sum(request.target == "/readyz" for request in world.orders.received) == 1


async def test_it_is_for_operators(world: World) -> None:
    assert (await world.client.get(PATH)).status_code == 401
    assert (await world.client.get(PATH, headers=world.bearer())).status_code == 403
    described = (await world.client.get("/openapi.json")).json()["paths"][PATH]["get"]
    assert described["security"] == FOR_USERS
