"""The dashboards of many users, for administrators. Uses ordinary FastAPI, whose cost a hundred dashboards share."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.gateway.api.access import access_to
from services.gateway.api.dashboard import QUERY
from services.gateway.container import client_of, gateway_of
from services.gateway.dashboard.models import DashboardQuery, parse, wants_no_cache
from services.gateway.openapi.merge import FOR_USERS
from services.gateway.panels import visible
from services.gateway.proxy.audit_log import entry_of
from shared.http.examples import SCHEMAS
from shared.http.identity import Caller
from shared.http.openapi import described
from shared.http.tokens import USER_ISSUER

PATH = "/v1/dashboards/batch"
MAX_USERS = 100

_encoder = msgspec.json.Encoder()


class Batch(BaseModel):
    model_config = ConfigDict(extra="forbid")

    user_ids: Annotated[
        list[UUID], Field(max_length=MAX_USERS, description="each user once, however often the id is repeated")
    ]


def _by_user(schema: str) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": {"$ref": f"{SCHEMAS}{schema}"}}


ANSWER = {
    "description": "each user's dashboard, or the problem that prevented it",
    "content": {
        "application/json": {
            "schema": {
                "type": "object",
                "required": ["items", "errors"],
                "properties": {"items": _by_user("Dashboard"), "errors": _by_user("Problem")},
            }
        }
    },
}

router = APIRouter(tags=["dashboard"])


async def _asked(request: Request) -> tuple[Caller, DashboardQuery]:
    gateway = gateway_of(request.scope)
    caller = await gateway.authenticator.caller(request.scope, access_to("POST", PATH))
    # Of other people's dashboards, even if the caller's own is among them.
    panels = visible(gateway.catalog.panels, caller.role, USER_ISSUER, own=False)
    return caller, parse(request.scope["query_string"], panels, gateway.settings.budget_ms)


@router.post(
    PATH,
    response_class=Response,
    openapi_extra={"security": FOR_USERS, "parameters": QUERY},
    **described("read_dashboards", "Read the dashboards of many users", responses={200: ANSWER}),
)
async def read_dashboards(
    batch: Batch, asked: Annotated[tuple[Caller, DashboardQuery], Depends(_asked)], request: Request
) -> Response:
    """Administrators: read the dashboards of up to 100 users at once. A failure for one user does not affect the
    others."""
    no_cache = wants_no_cache(request.headers.get("Cache-Control", "").encode("latin-1"))
    user_ids = list(dict.fromkeys(batch.user_ids))
    gateway, (caller, query) = gateway_of(request.scope), asked
    entry = entry_of("POST", PATH, {"user_ids": ",".join(map(str, user_ids))})
    await gateway.audit_log.note(caller, client_of(request.scope), entry)
    found = await gateway.dashboards.read_many(user_ids, query.panels, query.budget_ms / 1000, no_cache=no_cache)
    headers = {"Cache-Control": "private, no-store"}
    return Response(_encoder.encode(found), media_type="application/json", headers=headers)
