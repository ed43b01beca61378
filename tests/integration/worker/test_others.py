"""Another's notification, report, import and webhook, directly at the service, with the gateway's own token."""

from uuid import UUID, uuid4

import httpx
import pytest

from shared.ids import new_id
from tests.support.statements import assert_hidden
from tests.support.worker.world import World, as_user

ADD = {
    "notifications": """
        INSERT INTO notifications (user_id, id, kind, title, body, created_at) VALUES ($1, $2, 'x', 'x', 'x', now())
    """,
    "reports": """
        INSERT INTO reports (user_id, id, kind, first_day, last_day)
        VALUES ($1, $2, 'orders', '2026-01-01', '2026-01-02')
    """,
    "imports": "INSERT INTO imports (user_id, id, state) VALUES ($1, $2, 'failed')",
    "webhooks": """
        INSERT INTO webhooks (user_id, id, url, lane, events, secret) VALUES ($1, $2, 'https://x', 'x', '{}', '')
    """,
}


async def added(world: World, kind: str) -> UUID:
    """The id of such a thing that somebody has."""
    thing = new_id()
    await world.fetch(ADD[kind], uuid4(), thing)
    return thing


@pytest.mark.parametrize(
    ("kind", "method", "path", "body"),
    [
        ("notifications", "POST", "/v1/notifications/{}/read", None),
        ("reports", "GET", "/v1/reports/{}", None),
        ("imports", "GET", "/v1/imports/{}", None),
        ("imports", "GET", "/v1/imports/{}/errors", None),
        ("imports", "POST", "/v1/imports/{}/cancel", None),
        ("webhooks", "GET", "/v1/webhooks/{}", None),
        ("webhooks", "PATCH", "/v1/webhooks/{}", {"enabled": False}),
        ("webhooks", "DELETE", "/v1/webhooks/{}", None),
        ("webhooks", "POST", "/v1/webhooks/{}/secret", None),
        ("webhooks", "POST", "/v1/webhooks/{}/test", None),
        ("webhooks", "GET", "/v1/webhooks/{}/deliveries", None),
        ("webhooks", "GET", "/v1/webhooks/{}/deliveries/00000000-0000-7000-8000-000000000000", None),
        ("webhooks", "POST", "/v1/webhooks/{}/deliveries/00000000-0000-7000-8000-000000000000/replay", None),
    ],
)
async def test_anothers_is_as_one_that_never_was(
    world: World, kind: str, method: str, path: str, body: dict[str, bool] | None
) -> None:
    """The same answer by the same statements, and it is still there afterwards."""
    theirs, headers = await added(world, kind), as_user(uuid4())

    async def ask(thing: str) -> httpx.Response:
        return await world.http.request(method, path.format(thing), headers=headers, json=body)

    await assert_hidden(world.app.state.db, ask, str(theirs), str(new_id()))
    assert len(await world.fetch(f"SELECT 1 FROM {kind} WHERE id = $1", theirs)) == 1
