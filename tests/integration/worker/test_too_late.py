"""Events that come late: too late for their job, or for the ledger's memory."""

from datetime import timedelta

from services.worker.ledger import pruner
from services.worker.ledger.sql import PURGE
from services.worker.settings import Settings
from shared.clock import now, rfc3339
from shared.db.engine import Database
from shared.ids import new_id
from tests.support.backends.smtp import SmtpServer
from tests.support.metrics import sample
from tests.support.worker.world import LONG_S, World, created, message_of

WEEK_S = 7 * 24 * 3600


def ago(**delta: float) -> str:
    return rfc3339(now() - timedelta(**delta))


async def test_an_event_past_its_deadline_is_dead_without_being_tried(world: World, post_office: SmtpServer) -> None:
    """Nobody wants a confirmation after four days; the analytics still count the order."""
    user_id = await world.known()
    event_id = new_id()
    await world.publish_raw(message_of(event_id, created(user_id), time=ago(days=4)))
    await world.until(event_id, email="dead", analytics="done", notifications="done")
    row = await world.job("email", event_id)
    assert (row["error_group"], row["attempts"], row["next_attempt_at"]) == ("expired", 1, None)
    assert row["last_error"].startswith("Expired: 4 days")
    assert f"{user_id.hex}@example.com" not in [to for mail in post_office.messages for to in mail.recipients]


async def test_a_job_may_expire_between_two_attempts(world: World) -> None:
    """A retry that is due after the deadline is not made."""
    event_id, young, old = new_id(), ago(days=2), ago(days=4)
    await world.publish_raw(message_of(event_id, created(new_id()), time=young))
    await world.until(event_id, email="retrying")
    age = "UPDATE jobs SET headers = replace(headers::text, $2, $3)::json WHERE job = 'email' AND event_id = $1"
    await world.fetch(age, event_id, young, old)
    await world.until(event_id, email="dead")
    assert (await world.job("email", event_id))["error_group"] == "expired"


async def test_who_replays_an_expired_job_wants_it(world: World, post_office: SmtpServer) -> None:
    """A job whose attempts were set back is done whatever its age."""
    user_id = await world.known()
    event_id = new_id()
    await world.publish_raw(message_of(event_id, created(user_id), time=ago(days=4)))
    await world.until(event_id, email="dead")
    await world.fetch(
        "UPDATE jobs SET state = 'retrying', attempts = 0, next_attempt_at = now() WHERE event_id = $1", event_id
    )
    await world.until(event_id, email="done")
    assert [1 for mail in post_office.messages if str(event_id) in mail.message["Message-ID"]] == [1]
    row = await world.job("email", event_id)
    assert (row["attempts"], row["payload"], row["last_error"]) == (1, None, None)


async def test_an_event_that_the_ledger_may_have_forgotten_is_not_done_again(world: World) -> None:
    """Older than what is remembered, and without a row: kept as dead, for somebody to decide; others are done."""
    old, fresh = new_id(), new_id()
    user_id = new_id()
    await world.publish_raw(
        message_of(old, created(user_id, total=100), time=ago(seconds=WEEK_S + 60)),
        message_of(fresh, created(user_id, total=100), time=ago(seconds=WEEK_S - 60)),
    )
    await world.until(old, analytics="dead")
    await world.until(fresh, analytics="done")
    assert (await world.job("analytics", old))["error_group"] == "unremembered"
    assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == 1


async def test_a_time_without_an_offset_is_unreadable(world: World) -> None:
    """Nobody could tell how old the event is."""
    event_id = new_id()
    await world.publish_raw(message_of(event_id, created(new_id()), time="2026-01-01T00:00:00"))
    await world.until(event_id, email="dead", analytics="dead")


async def test_what_was_done_long_ago_is_purged(world: World) -> None:
    """Rows that are done and old go, in batches; newer ones and those that are not done stay."""
    age = timedelta(seconds=WEEK_S + pruner.CLOCKS_DIFFER_S + 60)
    insert = "INSERT INTO jobs (job, event_id, event_type, state, updated_at) VALUES ('purged', $1, '', $2, $3)"
    for _ in range(5):
        await world.fetch(insert, new_id(), "done", now() - age)
    await world.fetch(insert, new_id(), "dead", now() - age)
    await world.fetch(insert, new_id(), "done", now() - timedelta(seconds=WEEK_S))
    async with Database.open(world.settings) as db:
        assert await pruner.purge_batch(db, WEEK_S, limit=3) == 3
        assert await pruner.purge_batch(db, WEEK_S, limit=3) == 2
        assert await pruner.purge_batch(db, WEEK_S, limit=3) == 0
    rows = await world.fetch("SELECT state FROM jobs WHERE job = 'purged' ORDER BY state")
    assert [row["state"] for row in rows] == ["dead", "done"]


async def test_purging_waits_for_nobody(settings: Settings) -> None:
    """Rows that another transaction has in its hands are left alone."""
    insert = "INSERT INTO jobs (job, event_id, event_type, state, updated_at) VALUES ('purged', $1, '', 'done', $2)"
    async with Database.open(settings) as db, db.connection() as holder:
        for _ in range(2):
            await holder.execute(insert, new_id(), now() - timedelta(days=30))
        async with holder.transaction():
            await holder.fetch("SELECT FROM jobs ORDER BY event_id LIMIT 1 FOR UPDATE")
            assert await pruner.purge_batch(db, WEEK_S) == 1
        assert await pruner.purge_batch(db, WEEK_S) == 1


async def test_the_purge_reads_its_index(settings: Settings) -> None:
    """Finding the oldest rows costs the same however many there are."""
    async with Database.open(settings) as db, db.connection() as connection:
        await connection.execute(
            "INSERT INTO jobs (job, event_id, event_type, state, updated_at)"
            " SELECT 'purged', gen_random_uuid(), '', 'done', now() - i * interval '1 minute'"
            " FROM generate_series(1, 20000) i"
        )
        await connection.execute("ANALYZE jobs")
        plan = await connection.fetch(f"EXPLAIN {PURGE}", float(WEEK_S), 1000)
    assert any("jobs_ended" in row[0] for row in plan)


async def test_the_age_of_a_job_is_measured(world: World) -> None:
    """From the event to the start of its first attempt, in every job."""

    def measured() -> float:
        return sample("worker_job_age_seconds_sum", {"job": "analytics"}) or 0

    before = measured()
    event_id = new_id()
    await world.publish_raw(message_of(event_id, created(new_id(), mail=False), time=ago(seconds=100)))
    await world.until(event_id, analytics="done")
    assert 100 <= measured() - before < 100 + LONG_S
