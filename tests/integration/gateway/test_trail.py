"""What operators do through the gateway is in the audit before it is done."""

import json
from typing import Any
from uuid import UUID

import pytest

from shared.contracts.internal_api import AUDIT_PATH as AUDIT
from shared.http.tokens import Role
from shared.ids import new_id
from tests.support.gateway.stub import Received, replies
from tests.support.gateway.world import World

ID = "019ac1d2-7a10-7c55-8a3e-5d1f0a6b2c94"


def written(world: World) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in audited(world)]


def audited(world: World) -> list[Received]:
    return [request for request in world.users.received if request.target == AUDIT]


async def call(world: World, method: str, path: str, role: Role, user_id: UUID | None = None, **more: Any) -> int:
    answer = await world.client.request(method, path, headers=world.bearer(user_id, role), **more)
    return answer.status_code


async def test_a_change_is_written_down_first(world: World) -> None:
    """Who, what, on which thing, from where; nothing else goes into it."""
    admin = new_id()
    assert await call(world, "POST", f"/v1/orders/{ID}/ship", "admin", admin) == 200
    assert written(world) == [{"action": "POST /v1/orders/{id}/ship", "subject_id": None, "detail": f"id={ID}"}]
    (request,) = audited(world)
    assert request.values("X-User-Id") == [str(admin)]
    assert request.values("X-User-Role") == ["admin"]
    assert len(request.values("X-Forwarded-For")) == 1


async def test_what_cannot_be_written_down_is_not_done(world: World) -> None:
    """503 with Retry-After; the service behind is not asked. A look is answered nevertheless."""
    world.users.behaviours[AUDIT] = replies(b"", 503)
    answer = await world.client.post(f"/v1/orders/{ID}/ship", headers=world.bearer(role="admin"))
    assert (answer.status_code, answer.json()["code"]) == (503, "audit_unavailable")
    assert answer.headers["Retry-After"]
    assert world.orders.asked == []
    assert await call(world, "GET", f"/v1/orders/{ID}", "support") == 200


@pytest.mark.parametrize(
    ("method", "path", "role", "body"),
    [
        ("GET", "/v1/users", "support", None),
        ("GET", f"/v1/users/{ID}", "support", None),
        ("GET", f"/v1/users/{ID}/dashboard", "support", None),
        ("GET", f"/v1/orders/{ID}", "admin", None),
        ("GET", "/v1/admin/audit", "support", None),
        ("POST", "/v1/dashboards/batch", "admin", {"user_ids": [ID]}),
        ("POST", "/v1/admin/jobs/replay", "admin", {"job": "email"}),
    ],
)
async def test_looks_at_others_are_written_down(world: World, method: str, path: str, role: Role, body: Any) -> None:
    """One entry each; whom it is about, where the path says so."""
    assert await call(world, method, path, role, json=body) == 200
    (entry,) = written(world)
    assert entry["action"] == f"{method} {path}".replace(ID, "{id}")
    assert entry["subject_id"] == (ID if "/users/" in path else None)


@pytest.mark.parametrize("path", ["/v1/users/{me}", "/v1/users/{me}/dashboard", "/v1/dashboard", "/v1/orders/{me}"])
async def test_ones_own_is_not(world: World, path: str) -> None:
    """A user leaves no entry, and an operator none about themselves."""
    me = new_id()
    assert await call(world, "GET", path.format(me=me), "user", me) == 200
    if "orders" not in path:  # whose order it is, the gateway does not know
        assert await call(world, "GET", path.format(me=me), "admin", me) == 200
    assert written(world) == []
