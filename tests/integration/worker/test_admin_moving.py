"""Operators replay and discard."""

import asyncio
from itertools import pairwise
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from shared.clock import now
from shared.contracts.events import UserDeleted
from tests.support.waiting import eventually
from tests.support.worker.operators import (
    ADMIN,
    LATER,
    PATH,
    acting,
    audited,
    dead,
    dead_of,
    detail,
    listed,
    order,
    states,
)
from tests.support.worker.world import LONG_S, World, registered


async def swept(world: World) -> None:
    """Waits until whatever is due has been looked for, and run, again."""

    async def count() -> float:
        text = (await world.http.get("/metrics")).text
        [line] = [line for line in text.splitlines() if line.startswith("worker_sweeps_total ")]
        return float(line.split()[1])

    before = await count()

    async def passed() -> bool:
        return await count() > before + 2

    await eventually(passed, LONG_S)


async def test_a_replayed_job_is_done_with_one_effect(world: World) -> None:
    """A job whose cause of death is gone is done after a replay, once; the audit says who replayed it."""
    user = registered()
    event_id = await dead_of(world, user, "notifications")
    assert (await order(world, "replay", event_ids=[str(event_id)]))["replayed"] == 1
    await world.until(event_id, notifications="done")
    await swept(world)
    told = await world.fetch("SELECT kind FROM notifications WHERE user_id = $1", user.user_id)
    assert [row["kind"] for row in told] == ["user.registered"]
    shown = await detail(world, "notifications", event_id)
    assert (shown["state"], shown["attempts"], shown["total_attempts"]) == ("done", 1, 4)
    [entry] = shown["audit"]
    told_of_it = {name: entry[name] for name in ("action", "actor", "previous_state", "previous_attempts")}
    assert told_of_it == {"action": "replay", "actor": str(ADMIN), "previous_state": "dead", "previous_attempts": 3}


async def test_replaying_twice(world: World) -> None:
    """A job that is not dead any more is not replayed again: one effect, one audit row."""
    user = registered()
    event_id = await dead_of(world, user, "notifications")
    for _ in range(2):
        await order(world, "replay", event_ids=[str(event_id)])
    await world.until(event_id, notifications="done")
    assert (await order(world, "replay", event_ids=[str(event_id)])) | {"as_of": 0} == {
        "matched": 0,
        "replayed": 0,
        "as_of": 0,
    }
    assert len(await world.fetch("SELECT 1 FROM notifications WHERE user_id = $1", user.user_id)) == 1
    assert await audited(world, [event_id]) == [event_id]


async def test_a_job_that_dies_again_can_be_replayed_again(world: World) -> None:
    """Each replay that changed something has its audit row, and the attempts add up."""
    [event_id] = await dead(world, 1, uuid4().hex)
    for done in (1, 2):
        await order(world, "replay", event_ids=[str(event_id)])

        async def died_again(times: int = done) -> bool:
            shown = await detail(world, "email", event_id)
            return shown["state"] == "dead" and len(shown["audit"]) == times

        await eventually(died_again)
    shown = await detail(world, "email", event_id)
    assert (shown["attempts"], shown["total_attempts"]) == (1, 5)
    assert [entry["previous_attempts"] for entry in shown["audit"]] == [3, 1]


async def test_one_replay_takes_each_job_once(world: World) -> None:
    """Jobs that die again while the replay goes on are not taken a second time."""
    ids = await dead(world, 1200, uuid4().hex)
    group = uuid4().hex
    await world.fetch("UPDATE jobs SET error_group = $2 WHERE event_id = ANY($1)", ids, group)
    done = await order(world, "replay", error_group=group, limit=10_000)
    assert (done["matched"], done["replayed"]) == (1200, 1200)
    again = await order(world, "replay", error_group=group, limit=10_000, as_of=done["as_of"])
    assert again["replayed"] == 0
    assert sorted(await audited(world, ids)) == sorted(ids)


async def test_a_dry_run_changes_nothing(world: World) -> None:
    """It counts what a replay would change."""
    group = uuid4().hex
    ids = await dead(world, 3, group)
    for action in ("replay", "discard"):
        told = await order(
            world, action, error_group=group, dry_run=True, **({"reason": "r"} if action[0] == "d" else {})
        )
        assert told["matched"] == 3
    assert await states(world, ids) == {"dead"}
    assert await audited(world, ids) == []


async def test_filters_and_the_limit(world: World) -> None:
    """Only jobs that fit every filter are replayed, and no more than the limit."""
    group = uuid4().hex
    ids = await dead(world, 4, group)
    others = await dead(world, 2, group, job="analytics")
    chosen = [str(event_id) for event_id in (ids[0], others[0])]
    assert (await order(world, "replay", job="email", event_ids=chosen, delay_s=LATER))["replayed"] == 1
    assert await audited(world, ids + others) == [ids[0]]
    told = await order(world, "replay", error_group=group, job="email", limit=2, delay_s=LATER)
    assert (told["matched"], told["replayed"]) == (3, 2)
    assert await states(world, others) == {"dead"}


async def test_the_rate_spreads_what_is_due(world: World) -> None:
    """At a rate of 2 a second 1000 jobs become due half a second apart, across batches, after the delay."""
    ids = await dead(world, 1000, group := uuid4().hex)
    await order(world, "replay", error_group=group, rate_per_s=2, delay_s=LATER)
    rows = await world.fetch(
        "SELECT next_attempt_at AS due, updated_at FROM jobs WHERE event_id = ANY($1) ORDER BY next_attempt_at", ids
    )
    assert (rows[0]["due"] - rows[0]["updated_at"]).total_seconds() == LATER
    gaps = [(later["due"] - one["due"]).total_seconds() for one, later in pairwise(rows)]
    assert all(gap >= 0.5 for gap in gaps)
    assert gaps.count(0.5) == len(gaps) - 1  # the one between the two batches is longer


async def test_replays_at_the_same_time(world: World) -> None:
    """Two operators who replay the same jobs at once share them: each job is replayed once."""
    group = uuid4().hex
    ids = await dead(world, 1500, group)
    body = {"error_group": group, "limit": 10_000, "delay_s": LATER}
    both = await asyncio.gather(*(order(world, "replay", **body) for _ in range(4)))
    assert sum(told["replayed"] for told in both) == 1500
    assert sorted(await audited(world, ids)) == sorted(ids)


async def test_a_job_that_another_transaction_holds_is_passed_over(world: World) -> None:
    """A replay waits for nobody: what is locked stays as it is, the rest is replayed."""
    group = uuid4().hex
    ids = await dead(world, 3, group)
    connection = await asyncpg.connect(world.settings.database_url)
    async with connection.transaction():
        await connection.execute("SELECT 1 FROM jobs WHERE event_id = $1 FOR UPDATE", ids[0])
        told = await order(world, "replay", error_group=group, delay_s=LATER)
    await connection.close()
    assert (told["matched"], told["replayed"]) == (3, 2)
    assert await states(world, ids[:1]) == {"dead"}


async def test_what_nobody_can_run_is_not_replayed(world: World) -> None:
    """A job that no worker knows stays dead, and can be discarded; so does one of which no message is left."""
    group = uuid4().hex
    ids = await dead(world, 1, group, job="unknown")
    emptied = await dead(world, 1, group)
    await world.fetch("UPDATE jobs SET payload = NULL WHERE event_id = $1", emptied[0])
    assert (await order(world, "replay", error_group=group))["matched"] == 0
    assert (await order(world, "replay", job="unknown"))["matched"] == 0
    assert (await order(world, "discard", job="unknown", error_group=group, reason="a test"))["discarded"] == 1
    assert await states(world, ids) == {"discarded"}


async def test_a_discarded_job_is_kept_and_not_dead(world: World) -> None:
    """It is not run, not replayed with the dead, keeps its message and says why; asked for, it can be replayed."""
    group = uuid4().hex
    [event_id] = await dead(world, 1, group)
    assert (await order(world, "discard", error_group=group, reason="of a test"))["discarded"] == 1
    shown = await detail(world, "email", event_id)
    assert (shown["state"], shown["payload"]) == ("discarded", r"\xff{")
    assert [(entry["action"], entry["reason"]) for entry in shown["audit"]] == [("discard", "of a test")]
    assert (await order(world, "replay", error_group=group))["matched"] == 0
    assert (await order(world, "discard", error_group=group, reason="again"))["discarded"] == 0
    assert (await order(world, "replay", error_group=group, state="discarded", delay_s=LATER))["replayed"] == 1
    assert [item["event_id"] for item in (await listed(world, error_group=group))["items"]] == [str(event_id)]


async def test_of_a_deleted_user_the_audit_keeps_no_error(world: World) -> None:
    """Error messages may hold an address: they go with the user, who did what to which job stays."""
    [event_id] = await dead(world, 1, uuid4().hex)
    await order(world, "discard", event_ids=[str(event_id)], reason="a test")
    user_id = event_id  # of these jobs
    [deleted] = await world.publish(UserDeleted(user_id=user_id, revision=2, deleted_at=now()))
    await world.until(deleted, recipients="done")
    shown = await detail(world, "email", event_id)
    assert (shown["payload"], shown["audit"][0]["previous_error"]) == (None, None)
    assert shown["audit"][0]["reason"] == "a test"


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("replay", {}, "body"),
        ("replay", {"dry_run": True}, "body"),
        ("replay", {"job": "email", "all": True}, "all"),
        ("replay", {"job": "email", "state": "done"}, "state"),
        ("replay", {"job": "e\0"}, "job"),
        ("replay", {"error_group": "a\0b"}, "error_group"),
        ("replay", {"event_ids": []}, "event_ids"),
        ("replay", {"event_ids": [str(uuid4())] * 1001}, "event_ids"),
        ("replay", {"job": "email", "rate_per_s": 0}, "rate_per_s"),
        ("replay", {"job": "email", "rate_per_s": 1e-9}, "rate_per_s"),
        ("replay", {"job": "email", "limit": 10_001}, "limit"),
        ("replay", {"job": "email", "delay_s": 1e300}, "delay_s"),
        ("replay", {"job": "email", "as_of": "2026-01-31T12:00:00"}, "as_of"),
        ("discard", {"job": "email"}, "reason"),
        ("discard", {"job": "email", "reason": ""}, "reason"),
        ("discard", {"job": "email", "reason": "r", "state": "retrying"}, "state"),
    ],
)
async def test_bad_orders_name_the_field(world: World, action: str, body: dict[str, Any], field: str) -> None:
    """What cannot be accepted is answered 422 with the name of the field, and nothing is changed."""
    answer = await world.http.post(f"{PATH}/{action}", json=body, headers=acting())
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
