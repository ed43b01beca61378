"""Operators change all jobs of a search."""

from uuid import UUID, uuid4

import pytest

from shared.ids import new_id
from tests.support.worker.operators import ADMIN, PATH, acting, audited, dead, dead_of, detail, listed, order, states
from tests.support.worker.world import World, registered

SCHEDULE = """
    UPDATE jobs SET state = 'scheduled', attempts = 0, next_attempt_at = now() + interval '1 day'
    WHERE event_id = ANY($1)
"""
LEASE = "UPDATE jobs SET state = 'retrying', leased_until = now() + interval '1 day' WHERE event_id = $1"


async def scheduled(world: World, count: int, group: str) -> list[UUID]:
    ids = await dead(world, count, group)
    await world.fetch(SCHEDULE, ids)
    return ids


@pytest.mark.full
async def test_all_jobs_of_a_search_are_cancelled(world: World) -> None:
    """Across batches, with an audit row for each. Those in flight, dead ones and deliveries stay."""
    group = uuid4().hex
    ids = await scheduled(world, 1200, group)
    [in_flight, delivery] = await scheduled(world, 2, group)
    await world.fetch(LEASE, in_flight)
    await world.fetch("UPDATE jobs SET lane = 'x' WHERE event_id = $1", delivery)
    given_up = await dead(world, 1, group)
    counted = await order(world, "cancel", error_group=group, dry_run=True)
    assert (counted["matched"], counted["cancelled"]) == (1200, 0)
    done = await order(world, "cancel", error_group=group, limit=10_000, as_of=counted["as_of"])
    assert (done["matched"], done["cancelled"]) == (1200, 1200)
    assert await states(world, ids) == {"cancelled"}
    assert await states(world, given_up) == {"dead"}
    assert await states(world, [in_flight]) == {"retrying"}
    assert await states(world, [delivery]) == {"scheduled"}
    assert sorted(await audited(world, ids)) == sorted(ids)
    [entry] = (await detail(world, "email", ids[0]))["audit"]
    assert (entry["action"], entry["actor"], entry["previous_state"]) == ("cancel", str(ADMIN), "scheduled")


async def test_all_jobs_of_a_search_are_retried(world: World) -> None:
    """Dead ones get a full set of attempts, and run."""
    user = registered()
    event_id = await dead_of(world, user, "notifications")
    done = await order(world, "retry", user_id=str(event_id), state="dead")
    assert (done["matched"], done["retried"]) == (1, 1)
    await world.until(event_id, notifications="done")
    assert (await order(world, "retry", user_id=str(event_id)))["retried"] == 0


@pytest.mark.parametrize("by", ["user_id", "q", "event_type", "error_group"])
async def test_a_change_has_the_filters_of_the_list(world: World, by: str) -> None:
    """What is changed is what the list shows for the same filters, and nothing else."""
    group, kind = uuid4().hex, f"test.{uuid4().hex}"
    ids = await dead(world, 2, group)
    others = await dead(world, 1, uuid4().hex)
    await world.fetch("UPDATE jobs SET event_type = $2 WHERE event_id = ANY($1)", ids, kind)
    value, meant = {
        "user_id": (str(ids[0]), ids[:1]),
        "q": (f"Broken: {ids[0]}", ids[:1]),
        "event_type": (kind, ids),
        "error_group": (group, ids),
    }[by]
    shown = await listed(world, **{by: value})
    assert {item["event_id"] for item in shown["items"]} == {str(event_id) for event_id in meant}
    done = await order(world, "discard", **{by: value}, reason="a test")
    assert done["discarded"] == len(meant)
    assert await states(world, meant) == {"discarded"}
    assert await states(world, others) == {"dead"}


async def test_jobs_that_arrived_at_a_time(world: World) -> None:
    """The limits are those of the list, and `from` belongs to it."""
    ids = await scheduled(world, 3, group := uuid4().hex)
    for place, event_id in enumerate(ids):
        await world.fetch(
            "UPDATE jobs SET created_at = '2020-01-01Z'::timestamptz + $2 * interval '1 hour' WHERE event_id = $1",
            event_id,
            place,
        )
    limits = {"from": "2020-01-01T01:00:00Z", "to": "2020-01-01T02:00:00Z"}
    done = await order(world, "cancel", error_group=group, **limits)
    assert done["cancelled"] == 1
    assert await states(world, [ids[1]]) == {"cancelled"}
    assert await states(world, [ids[0], ids[2]]) == {"scheduled"}


async def test_jobs_that_were_given_up_stay_closed_unless_they_are_meant(world: World) -> None:
    """Without a state and a search, only open jobs are retried, as in the list; with the state, also discarded ones."""
    ids = await dead(world, 1, group := uuid4().hex)
    await order(world, "discard", error_group=group, reason="a test")
    assert (await order(world, "retry", error_group=group))["matched"] == 0
    assert (await order(world, "retry", error_group=group, state="discarded"))["retried"] == 1
    assert await audited(world, ids) == [ids[0], ids[0]]


@pytest.mark.parametrize("action", ["cancel", "retry"])
async def test_not_everything_at_once(world: World, action: str) -> None:
    """A state alone is not enough, states that cannot be changed are refused, and only administrators change jobs."""
    for body in ({}, {"state": "scheduled"}, {"job": "email", "state": "done"}):
        answer = await world.http.post(f"{PATH}/{action}", json=body, headers=acting())
        assert answer.status_code == 422
    body = {"user_id": str(new_id())}
    answer = await world.http.post(f"{PATH}/{action}", json=body, headers=acting("support"))
    assert answer.status_code == 403
