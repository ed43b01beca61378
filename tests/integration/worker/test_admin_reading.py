"""Operators look at the jobs that failed."""

from uuid import uuid4

import pytest

from shared.ids import new_id
from tests.support.worker.operators import INSERT, PATH, acting, dead, detail, listed, order
from tests.support.worker.world import World


async def test_the_list_by_pages_and_filters(world: World) -> None:
    """Page by page each job is there once, newest first, an event that failed in two jobs twice."""
    group = uuid4().hex
    ids = await dead(world, 3, group)
    await world.fetch(INSERT, "analytics", ids[:1], "order.created", group, b"", "{}")
    found: list[tuple[str, str]] = []
    cursor: dict[str, str] = {}
    while True:
        page = await listed(world, error_group=group, limit=1, **cursor)
        found += [(item["job"], item["event_id"]) for item in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    first, second, third = map(str, ids)
    assert found == [("email", third), ("email", second), ("analytics", first), ("email", first)]
    one_job = await listed(world, error_group=group, job="analytics")
    assert [item["event_id"] for item in one_job["items"]] == [first]
    assert (await listed(world, error_group=group, state="retrying"))["items"] == []


async def test_a_job_in_the_list(world: World) -> None:
    """It is told with its error and attempts, and without the message."""
    group = uuid4().hex
    [event_id] = await dead(world, 1, group)
    [item] = (await listed(world, error_group=group, state="dead"))["items"]
    assert item.pop("created_at") == item.pop("updated_at")
    assert item == {
        "job": "email",
        "event_id": str(event_id),
        "user_id": str(event_id),
        "event_type": "order.created",
        "state": "dead",
        "attempts": 3,
        "next_attempt_at": None,
        "key": None,
        "error": f"Broken: {event_id}",
        "last_error": f"Broken: {event_id}",
        "error_group": group,
    }


async def test_groups(world: World) -> None:
    """Each cause is counted by job and state, with the times of its first and last failure and an example."""
    group = uuid4().hex
    ids = await dead(world, 3, group)
    await world.fetch("UPDATE jobs SET updated_at = now() + interval '1 hour' WHERE event_id = $1", ids[1])
    answer = await world.http.get(f"{PATH}/groups", headers=acting("support"))
    [found] = [item for item in answer.json()["items"] if item["error_group"] == group]
    assert (found["job"], found["state"], found["count"]) == ("email", "dead", 3)
    assert (found["example_event_id"], found["example_error"]) == (str(ids[1]), f"Broken: {ids[1]}")
    assert found["first_seen"] < found["last_seen"]


async def test_the_message_is_for_administrators(world: World) -> None:
    """They see payload and headers, whatever bytes those are; support sees the same job without them."""
    [event_id] = await dead(world, 1, uuid4().hex)
    shown = await detail(world, "email", event_id)
    assert (shown["payload"], shown["headers"], shown["audit"]) == (r"\xff{", {}, [])
    without = await detail(world, "email", event_id, role="support")
    assert without == shown | {"payload": None, "headers": None}


async def test_a_job_that_is_not_there(world: World) -> None:
    """404, also when the event exists in another job."""
    [event_id] = await dead(world, 1, uuid4().hex)
    for path in (f"{PATH}/analytics/{event_id}", f"{PATH}/email/{new_id()}"):
        answer = await world.http.get(path, headers=acting())
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")


@pytest.mark.parametrize(("role", "reading", "changing"), [("user", 403, 403), ("support", 200, 403)])
async def test_roles(world: World, role: str, reading: int, changing: int) -> None:
    """Users see nothing; support reads, and neither replays nor discards."""
    [event_id] = await dead(world, 1, uuid4().hex)
    for path in (PATH, f"{PATH}/groups", f"{PATH}/email/{event_id}"):
        assert (await world.http.get(path, headers=acting(role))).status_code == reading
    body = {"event_ids": [str(event_id)], "reason": "a test"}
    for action in ("replay", "discard"):
        answer = await world.http.post(f"{PATH}/{action}", json=body, headers=acting(role))
        assert answer.status_code == changing
    assert (await detail(world, "email", event_id))["state"] == "dead"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("state=lost", "state"),
        ("user_id=x", "user_id"),
        ("event_type=a%00b", "event_type"),
        ("from=yesterday", "from"),
        ("to=2026-01-31T12:00:00", "to"),
        ("q=", "q"),
        ("q=a%00b", "q"),
        ("job=e%00mail", "job"),
        ("error_group=a%00b", "error_group"),
        ("limit=101", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=AAAAAAAAAAAAAAAAAAAAAAAA", "cursor"),
    ],
)
async def test_bad_queries_name_the_field(world: World, query: str, field: str) -> None:
    """What cannot be accepted is answered 422 with the name of the field."""
    answer = await world.http.get(f"{PATH}?{query}", headers=acting())
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_discarded_jobs_are_shown_when_asked_for(world: World) -> None:
    """They are not among what needs attention, and can be listed."""
    group = uuid4().hex
    await dead(world, 1, group)
    await order(world, "discard", error_group=group, reason="a test")
    assert (await listed(world, error_group=group))["items"] == []
    assert len((await listed(world, error_group=group, state="discarded"))["items"]) == 1
