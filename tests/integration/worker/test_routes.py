"""A user's notifications over HTTP, and the hints that something changed."""

import asyncio
import json
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import httpx
import pytest
from aio_pika.abc import AbstractIncomingMessage

from shared.contracts import topology
from tests.support.worker.world import LONG_S, World, as_user, created

Told = list[dict[str, object]]


async def listed(world: World, user_id: UUID, **query: str) -> dict[str, object]:
    answer = await world.http.get("/v1/notifications", params=query, headers=as_user(user_id))
    assert answer.status_code == 200, answer.text
    page: dict[str, object] = answer.json()
    return page


async def user_with(world: World, orders: int) -> UUID:
    """A user with a notification of each of so many orders."""
    user_id = uuid4()
    await world.until_all(
        await world.publish(*(created(user_id, mail=False) for _ in range(orders))), notifications="done"
    )
    return user_id


async def test_pages_of_notifications(world: World) -> None:
    """Page by page, newest first, each notification is there once."""
    user_id = await user_with(world, 5)
    ids: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await listed(world, user_id, limit="2", **cursor)
        items: Told = page["items"]  # type: ignore[assignment]
        ids += [str(item["id"]) for item in items]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": str(page["next_cursor"])}
    assert len(ids) == 5
    assert ids == sorted(ids, reverse=True)
    assert set(items[0]) == {"id", "kind", "title", "body", "read", "created_at", "subject"}
    assert str(items[0]["created_at"]).endswith("Z")


async def test_reading_a_notification(world: World) -> None:
    """It is read from then on, however often one says so, and no longer among the unread."""
    user_id = await user_with(world, 2)
    items: Told = (await listed(world, user_id))["items"]  # type: ignore[assignment]
    for _ in range(2):
        answer = await world.http.post(f"/v1/notifications/{items[0]['id']}/read", headers=as_user(user_id))
        assert (answer.status_code, answer.json()["read"]) == (200, True)
    unread: Told = (await listed(world, user_id, unread="true"))["items"]  # type: ignore[assignment]
    assert [item["id"] for item in unread] == [items[1]["id"]]
    assert [item["read"] for item in (await world.panel("notifications", user_id))[str(user_id)]] == [True, False]


async def test_reading_all_up_to_one(world: World) -> None:
    """Those up to the named one are read, however many; newer ones stay unread and are counted."""
    user_id = await user_with(world, 30)
    other = await user_with(world, 1)
    items: Told = (await listed(world, user_id))["items"]  # type: ignore[assignment]
    assert await unread(world, user_id) == 30
    for _ in range(2):
        marked = await world.http.post(
            "/v1/notifications/read", json={"up_to": items[1]["id"]}, headers=as_user(user_id)
        )
        assert (marked.status_code, marked.json()) == (200, {"unread": 1})
    still_unread: Told = (await listed(world, user_id, unread="true"))["items"]  # type: ignore[assignment]
    assert [item["id"] for item in still_unread] == [items[0]["id"]]
    assert (await unread(world, user_id), await unread(world, other)) == (1, 1)


async def unread(world: World, user_id: UUID) -> int:
    answer = await world.http.get("/v1/notifications/count", headers=as_user(user_id))
    number: int = answer.raise_for_status().json()["unread"]
    return number


async def test_marking_as_read_can_be_undone(world: World) -> None:
    """For those named, of this user alone; the answer counts all unread ones, and the panel shows them."""
    user_id, other = await user_with(world, 3), await user_with(world, 1)
    items: Told = (await listed(world, user_id))["items"]  # type: ignore[assignment]
    others: Told = (await listed(world, other))["items"]  # type: ignore[assignment]
    for owner, newest in ((user_id, items[0]), (other, others[0])):
        await world.http.post("/v1/notifications/read", json={"up_to": newest["id"]}, headers=as_user(owner))
    ids = [items[0]["id"], items[2]["id"], others[0]["id"], str(uuid4())]
    for _ in range(2):
        undone = await world.http.post("/v1/notifications/unread", json={"ids": ids}, headers=as_user(user_id))
        assert (undone.status_code, undone.json()) == (200, {"unread": 2})
    assert [note["read"] for note in (await world.panel("notifications", user_id))[str(user_id)]] == [
        False,
        True,
        False,
    ]
    assert await unread(world, other) == 0


@pytest.mark.parametrize("body", [{}, {"ids": []}, {"ids": ["x"]}, {"ids": [str(uuid4())] * 101}])
async def test_what_is_marked_as_unread_is_named(world: World, body: Any) -> None:
    answer = await world.http.post("/v1/notifications/unread", json=body, headers=as_user(uuid4()))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"].startswith("ids")


async def test_a_notification_says_what_it_is_about(world: World) -> None:
    """The kind and id of the order, in the list and in the panel."""
    user_id = uuid4()
    event = created(user_id, mail=False)
    await world.until_all(await world.publish(event), notifications="done")
    subject = {"kind": "order", "id": str(event.order_id)}
    items: Told = (await listed(world, user_id))["items"]  # type: ignore[assignment]
    assert items[0]["subject"] == subject
    [shown] = (await world.panel("notifications", user_id))[str(user_id)]
    assert (shown["subject"], shown["body"]) == (subject, items[0]["body"])


async def test_anothers_notification_does_not_exist(world: World) -> None:
    """The answer is the same as for one that nobody has, and it stays unread."""
    owner = await user_with(world, 1)
    items: Told = (await listed(world, owner))["items"]  # type: ignore[assignment]
    answers = [
        await world.http.post(f"/v1/notifications/{told}/read", headers=as_user(uuid4()))
        for told in (items[0]["id"], uuid4())
    ]
    assert [answer.status_code for answer in answers] == [404, 404]
    bodies = [{k: v for k, v in a.json().items() if k not in ("request_id", "trace_id")} for a in answers]
    assert bodies[0] == bodies[1]
    assert not (await world.panel("notifications", owner))[str(owner)][0]["read"]


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/notifications?limit=0", "limit"),
        ("/v1/notifications?limit=101", "limit"),
        ("/v1/notifications?cursor=x", "cursor"),
        ("/v1/notifications?unread=perhaps", "unread"),
    ],
)
async def test_bad_queries_name_the_field(world: World, path: str, field: str) -> None:
    """What cannot be accepted is answered 422 with the name of the field."""
    answer = await world.http.get(path, headers=as_user(uuid4()))
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_only_the_gateway_may_ask(world: World) -> None:
    """Without its service token nobody learns anything."""
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://worker") as stranger:
        for answer in (
            await stranger.get("/v1/notifications", headers=as_user(uuid4())),
            await stranger.post("/internal/panels/analytics", json={"ids": [str(uuid4())]}),
        ):
            assert answer.status_code == 401


def hints_in(message: AbstractIncomingMessage) -> list[dict[str, Any]]:
    """Return the hints of a message, which is one or a list."""
    body = json.loads(message.body)
    return body if isinstance(body, list) else [body]


async def test_hints_after_a_commit(world: World) -> None:
    """Each user whose panels have changed is named on the exchange `live`, with the panels."""
    user_id = uuid4()
    heard: set[str] = set()
    async with await aio_pika.connect(world.settings.rabbitmq_url) as connection:
        channel = await connection.channel()
        feed = await channel.declare_queue(exclusive=True, auto_delete=True)
        await feed.bind(topology.LIVE, "hint")
        await world.publish(created(user_id, mail=False))
        async with asyncio.timeout(LONG_S), feed.iterator() as hints:
            async for hint in hints:
                await hint.ack()
                for one in hints_in(hint):
                    if one["user_id"] == str(user_id):
                        heard |= set(one["panels"])
                if heard == {"analytics", "notifications"}:
                    break


async def test_a_notification_that_was_read_is_hinted_at(world: World) -> None:
    """So that other tabs show it as read, at whichever gateway they are."""
    user_id = await user_with(world, 1)
    items: Told = (await listed(world, user_id))["items"]  # type: ignore[assignment]
    async with await aio_pika.connect(world.settings.rabbitmq_url) as connection:
        channel = await connection.channel()
        feed = await channel.declare_queue(exclusive=True, auto_delete=True)
        await feed.bind(topology.LIVE, "hint")
        await world.http.post(f"/v1/notifications/{items[0]['id']}/read", headers=as_user(user_id))
        async with asyncio.timeout(LONG_S), feed.iterator() as hints:
            async for hint in hints:
                await hint.ack()
                if any(
                    one["user_id"] == str(user_id) and "notifications" in one["panels"] for one in hints_in(hint)
                ):  # hints may be sent as one
                    break


async def test_metrics(world: World) -> None:
    """The metrics count jobs by outcome."""
    await user_with(world, 1)
    text = (await world.http.get("/metrics")).text
    assert 'worker_jobs_total{job="notifications",outcome="done"}' in text
