"""The public port and the internal port."""

import httpx

from shared.observability.probes import internal_app
from tests.support.backends import RabbitBackend
from tests.support.gateway.world import Start, World
from tests.support.waiting import eventually


async def test_metrics_are_on_the_internal_port_alone(world: World) -> None:
    """/metrics is not a public path; on the internal port it has the outcomes of panels."""
    await world.client.get("/v1/dashboard", headers=world.bearer())
    assert (await world.client.get("/metrics")).status_code == 404
    transport = httpx.ASGITransport(internal_app(world.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://internal") as internal:
        told = (await internal.get("/metrics")).text
    assert 'gateway_panels_total{code="",panel="orders",status="fresh"}' in told
    assert "gateway_panel_seconds_bucket" in told
    assert "gateway_write_behind_queue" in told
    assert 'gateway_cache_lookups_total{outcome="miss",panel="orders"}' in told
    assert "gateway_feed_connected" in told
    assert "gateway_jwks_fetched_timestamp_seconds" in told
    assert 'http_request_duration_seconds_count{method="GET",route="/v1/dashboard",status="200"}' in told


async def test_readiness_asks_no_service(start: Start, rabbitmq: RabbitBackend) -> None:
    """Keys are needed, Redis and RabbitMQ are useful, and services may be down."""
    async with start(rabbitmq_url=rabbitmq.url) as world:
        await eventually(lambda: world.gateway.feed.connected)
        names = ("jwks", "redis", "revocations", "ended_sessions", "limits", "rabbitmq", "background", "panels_file")
        checks = dict.fromkeys(names, "ok")

        async def ready() -> bool:
            """Return whether it is ready; a slow check may fail once on a busy machine."""
            answer = await world.client.get("/readyz")
            return (answer.status_code, answer.json()) == (200, {"status": "ready", "checks": checks})

        await eventually(ready)
