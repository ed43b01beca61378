"""`GET /v1/admin/status`: the status of the whole system, for operators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from services.gateway.api.access import access_to
from services.gateway.container import Gateway
from services.gateway.openapi.merge import FOR_USERS
from services.gateway.status import SystemStatus
from shared.http.openapi import described

router = APIRouter(prefix="/v1/admin", tags=["operators"])


async def _for_operators(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    await gateway.authenticator.caller(request.scope, access_to("GET", "/v1/admin/status"))
    return gateway


@router.get(
    "/status", openapi_extra={"security": FOR_USERS}, **described("read_status", "Read the status of the whole system")
)
async def read_status(gateway: Annotated[Gateway, Depends(_for_operators)], request: Request) -> SystemStatus:
    """Return each process's health, the circuit breakers, latencies of the last minute, queues, outboxes and jobs;
    at most a second old. The gateway's own values are those of the replica that responds."""
    return await gateway.system.read(request.app.state.checks, len(gateway.hub))
