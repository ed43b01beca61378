"""What is public and what is not."""

import httpx

from shared.probes import internal_app
from tests.integration.gateway.conftest import World


async def test_metrics_are_on_the_internal_port_alone(world: World) -> None:
    """/metrics is no public path; inside, it tells how panels were answered."""
    await world.client.get("/v1/dashboard", headers=world.bearer())
    assert (await world.client.get("/metrics")).status_code == 404
    transport = httpx.ASGITransport(internal_app(world.app))
    async with httpx.AsyncClient(transport=transport, base_url="http://internal") as internal:
        told = (await internal.get("/metrics")).text
    assert 'gateway_panels_total{code="",panel="orders",status="fresh"}' in told
    assert "gateway_panel_seconds_bucket" in told
    assert "gateway_write_behind_queue" in told
    assert "gateway_jwks_fetched_timestamp_seconds" in told
    assert 'http_request_duration_seconds_count{method="GET",route="/v1/dashboard",status="200"}' in told


async def test_readiness_asks_no_service(world: World) -> None:
    """Keys are needed, Redis is useful; services may be away."""
    ready = await world.client.get("/readyz")
    assert (ready.status_code, ready.json()) == (200, {"status": "ready", "checks": {"jwks": "ok", "redis": "ok"}})
