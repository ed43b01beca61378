"""Webhooks over HTTP: who may do what with whose."""

from typing import Any
from uuid import uuid4

import pytest

from shared.ids import new_id
from tests.support.worker.hooks import Hooks
from tests.support.worker.world import World

URL = "https://hooks.example.com/dashboard"


@pytest.fixture
def hooks(world: World) -> Hooks:
    return Hooks(world, uuid4())


async def test_a_new_webhook(hooks: Hooks) -> None:
    """The answer shows the secret and where the webhook is; later answers do not show the secret."""
    answer = await hooks.ask("POST", json={"url": URL, "events": ["order.created"], "description": "mine"})
    made = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/v1/webhooks/{made['id']}")
    assert made["secret"].startswith("whsec_")
    assert await hooks.read(made["id"]) == {name: value for name, value in made.items() if name != "secret"}
    assert made["created_at"].endswith("Z")


async def test_pages(hooks: Hooks) -> None:
    """Newest first, each once; and no more than ten altogether."""
    made = [(await hooks.create(URL))["id"] for _ in range(10)]
    refused = await hooks.ask("POST", json={"url": URL, "events": ["order.paid"]})
    assert (refused.status_code, refused.json()["code"]) == (409, "too_many_webhooks")
    ids: list[str] = []
    query: dict[str, Any] = {"limit": 4}
    while True:
        page = await hooks.told("GET", params=query)
        ids += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert ids == made[::-1]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"url": "http:/example.com"}, "url"),
        ({"url": "https://127.0.0.1/"}, "url"),
        ({"url": "https://10.0.0.1/"}, "url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "https://[::1]/"}, "url"),
        ({"url": "https://[::ffff:7f00:1]/"}, "url"),
        ({"url": "https://0x7f.1/"}, "url"),
        ({"url": "https://2130706433/"}, "url"),
        ({"url": "https://localhost/"}, "url"),
        ({"url": "https://8.8.8.8:22/"}, "url"),
        ({"url": "https://hooks.example.com:25/"}, "url"),
        ({"url": "https://user:password@hooks.example.com/"}, "url"),
        ({"url": "https://hooks.example.com/\u0000"}, "url"),
        ({"url": "https://hooks.example.com/" + "x" * 3000}, "url"),
        ({"url": None}, "url"),
        ({"events": []}, "events"),
        ({"events": ["user.deleted"]}, "events.0"),
        ({"events": "order.paid"}, "events"),
        ({"description": "x" * 201}, "description"),
        ({"secret": "whsec_mine"}, "secret"),
        ({"user_id": "0190a5a0-0000-7000-8000-000000000000"}, "user_id"),
        ({"enabled": True}, "enabled"),
    ],
)
async def test_what_cannot_be_accepted(hooks: Hooks, change: dict[str, Any], field: str) -> None:
    """The answer is 422 and names the field."""
    answer = await hooks.ask("POST", json={"url": URL, "events": ["order.created"]} | change)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await hooks.told("GET"))["items"] == []


async def test_a_changed_url_is_judged_as_a_new_one(hooks: Hooks) -> None:
    """What may not be named at first may not be named later."""
    made = await hooks.create(URL)
    answer = await hooks.ask("PATCH", f"/{made['id']}", json={"url": "https://127.0.0.1/"})
    assert [error["field"] for error in answer.json()["errors"]] == ["url"]
    changes: list[dict[str, Any]] = [{"events": []}, {"secret": "x"}, {"disabled_reason": None}]
    for change in changes:
        assert (await hooks.ask("PATCH", f"/{made['id']}", json=change)).status_code == 422
    assert (await hooks.read(made["id"]))["url"] == URL


async def test_turning_off_and_on(hooks: Hooks) -> None:
    """By its owner, with the reason."""
    made = await hooks.create(URL)
    off = await hooks.told("PATCH", f"/{made['id']}", json={"enabled": False, "events": ["order.paid"]})
    assert (off["enabled"], off["disabled_reason"], off["events"]) == (False, "owner", ["order.paid"])
    on = await hooks.told("PATCH", f"/{made['id']}", json={"enabled": True})
    assert (on["enabled"], on["disabled_reason"]) == (True, None)


async def test_anothers_webhook_does_not_exist(hooks: Hooks) -> None:
    """Whatever is asked of it, the answer is the same as for one that nobody has, and it stays as it is."""
    made = await hooks.create(URL)
    stranger = Hooks(hooks.world, uuid4())
    for method, path, body in (
        ("GET", "", None),
        ("PATCH", "", {"url": "https://evil.example.com/"}),
        ("PATCH", "", {"url": "https://127.0.0.1/"}),
        ("DELETE", "", None),
        ("POST", "/secret", None),
        ("POST", "/test", None),
        ("GET", "/deliveries", None),
        ("GET", f"/deliveries/{new_id()}", None),
        ("POST", f"/deliveries/{new_id()}/replay", None),
    ):
        answers = [await stranger.ask(method, f"/{one}{path}", json=body) for one in (made["id"], new_id())]
        assert [answer.status_code for answer in answers] == [404, 404], (method, path)
        bodies = [{k: v for k, v in a.json().items() if k not in ("request_id", "trace_id")} for a in answers]
        assert bodies[0] == bodies[1]
    assert (await hooks.read(made["id"]))["url"] == URL
    assert (await stranger.told("GET"))["items"] == []


@pytest.mark.parametrize(("path", "field"), [("?limit=0", "limit"), ("?cursor=x", "cursor")])
async def test_bad_queries_name_the_field(hooks: Hooks, path: str, field: str) -> None:
    """Of webhooks, and of deliveries."""
    made = await hooks.create(URL)
    for list_of in ("", f"/{made['id']}/deliveries"):
        answer = await hooks.ask("GET", f"{list_of}{path}")
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    answer = await hooks.ask("GET", f"/{made['id']}/deliveries?state=lost")
    assert [error["field"] for error in answer.json()["errors"]] == ["state"]
