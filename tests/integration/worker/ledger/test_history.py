"""The last hour of the jobs, and the running workers, as operators read them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from services.worker.ledger import heartbeats, history
from services.worker.ledger.heartbeats import Heartbeats, Work
from services.worker.ledger.history import BOUNDS_S, History
from services.worker.settings import Settings
from shared.clock import now
from shared.db.engine import Database
from tests.support.waiting import eventually
from tests.support.worker.operators import PATH, acting
from tests.support.worker.world import LONG_S, World, working

ADD = """
    INSERT INTO job_minutes (job, minute, done, durations)
    VALUES ($1, date_trunc('minute', now()) - $2::interval, 7, $3)
"""
STORED = "SELECT minute FROM job_minutes WHERE job = $1 ORDER BY minute"
WORKERS = "/v1/admin/workers"


async def asked(world: World, path: str, **query: str) -> dict[str, Any]:
    answer = await world.http.get(path, params=query, headers=acting("support"))
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


async def test_an_hour_by_minute(world: World) -> None:
    """Attempts of any worker add up in their minute, which has their median duration. Older minutes are not shown,
    and expire."""
    name = f"test-{uuid4().hex[:8]}"
    db: Database = world.app.state.db
    counts = [7, *[0] * (len(BOUNDS_S) - 1)]
    for minutes in (*range(65), 130):
        await world.fetch(ADD, name, timedelta(minutes=minutes), counts)
    found = await asked(world, f"{PATH}/history", job=name)
    [job] = found["items"]
    until = datetime.fromisoformat(found["until"])
    times = [datetime.fromisoformat(minute["at"]) for minute in job["minutes"]]
    kept = [row["minute"] for row in await world.fetch(STORED, name)]
    assert times == [at for at in kept if until - timedelta(hours=1) < at <= until]
    assert (job["done"], job["failed"], job["median_ms"]) == (7 * len(times), 0, 0.5)
    assert len(times) >= 58  # the minute may have ended meanwhile
    assert {(minute["done"], minute["failed"], minute["median_ms"]) for minute in job["minutes"]} == {(7, 0, 0.5)}
    await history.expire(db)
    assert [row["minute"] for row in await world.fetch(STORED, name)] == kept[1:]


async def test_what_a_worker_does_is_in_the_history(world: World) -> None:
    """Soon after a job was done, its minute says so."""
    await world.known()

    async def done() -> bool:
        found = await asked(world, f"{PATH}/history", job="notifications")
        return any(minute["done"] for job in found["items"] for minute in job["minutes"])

    await eventually(done, LONG_S)


async def test_two_processes_add_to_the_same_minute(world: World) -> None:
    """Neither replaces the counts of the other, and each is stored once."""
    name = f"test-{uuid4().hex[:8]}"
    db: Database = world.app.state.db
    one, other = History(db), History(db)
    minute = history.minute_of(now().timestamp())
    durations = (1, *[0] * (len(BOUNDS_S) - 1))
    for process in (one, other):
        process._unsaved[name, minute] = history.Counts(done=2, failed=1, durations=durations)
    for process in (one, other, one):
        await process.save()
    [row] = await world.fetch("SELECT done, failed, retried, durations FROM job_minutes WHERE job = $1", name)
    assert (row["done"], row["failed"], row["retried"]) == (4, 2, 0)
    assert row["durations"] == [2, *durations[1:]]


async def test_a_worker_is_listed_until_it_stops(settings: Settings) -> None:
    """It is there with its host, version and queues; a stopped one is not."""
    async with working(settings) as world:
        await world.until_ready()

        async def complete() -> bool:
            found = (await asked(world, WORKERS))["items"]
            return len(found) == 1 and len(found[0]["consumers"]) == found[0]["consumers_expected"]

        await eventually(complete, LONG_S)
        [found] = (await asked(world, WORKERS))["items"]
        assert found["alive"]
        assert found["version"]
        assert {"worker.email", "worker.dead"} <= {*found["consumers"]}
        assert found["started_at"] <= found["seen_at"]
        assert (await world.http.get(WORKERS, headers=acting("user"))).status_code == 403
    async with Database.open(settings) as db:
        assert await heartbeats.read(db) == []


async def test_a_killed_worker_is_lost_and_then_expires(world: World) -> None:
    """Without heartbeats it is first not alive, and after ten minutes it is not listed."""
    db: Database = world.app.state.db
    killed = Heartbeats(db, lambda: Work({"email": 2}, ["worker.email"], 9))
    await killed.beat()

    async def shown(worker: UUID) -> dict[str, Any] | None:
        return next((each for each in (await asked(world, WORKERS))["items"] if each["id"] == str(worker)), None)

    found = await shown(killed.id)
    assert found is not None
    assert (found["in_progress"], found["consumers"], found["alive"]) == ({"email": 2}, ["worker.email"], True)
    await world.fetch("UPDATE workers SET seen_at = now() - interval '1 minute' WHERE id = $1", killed.id)
    found = await shown(killed.id)
    assert found is not None
    assert not found["alive"]
    await world.fetch("UPDATE workers SET seen_at = now() - interval '11 minutes' WHERE id = $1", killed.id)
    assert await shown(killed.id) is None
    await Heartbeats(db, lambda: Work({}, [], 0)).beat()
    assert not await world.fetch("SELECT FROM workers WHERE id = $1", killed.id)
