"""The list of jobs: filters, search and pages."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.worker.ledger.admin import search
from services.worker.settings import Settings
from shared.clock import rfc3339
from shared.ids import new_id
from tests.support.worker.ledgers import Notes, Recorder, WriteNote, job_of, later, note, noting

STATES = ("scheduled", "waiting", "running", "retrying", "dead", "done", "cancelled", "discarded", "suppressed")
STORED = {"waiting": "scheduled", "running": "retrying"}
DUE = {"scheduled": 3600, "waiting": -1, "running": 60, "retrying": 3600}


async def add(notes: Notes, state: str, job: str = "notes", **fields: Any) -> UUID:
    event_id: UUID = fields.pop("event_id", None) or new_id()
    due = later(seconds=DUE[state]) if state in DUE else None
    row = {
        "job": job,
        "event_id": event_id,
        "event_type": "task.write_note",
        "state": STORED.get(state, state),
        "next_attempt_at": due,
        "leased_until": due if state == "running" else None,
        **fields,
    }
    columns, places = ", ".join(row), ", ".join(f"${number + 1}" for number in range(len(row)))
    await notes.fetch(f"INSERT INTO jobs ({columns}) VALUES ({places})", *row.values())
    return event_id


async def found(notes: Notes, **query: Any) -> list[UUID]:
    page = await notes.read("jobs", "support", **query)
    assert page["next_cursor"] is None
    return [UUID(item["event_id"]) for item in page["items"]]


async def test_each_state(database: Settings, recorder: Recorder) -> None:
    """A filter finds exactly the jobs that are shown in that state. The default is what is not finished."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        ids = {state: await add(notes, state) for state in STATES}
        for state, event_id in ids.items():
            page = await notes.read("jobs", state=state)
            assert [(item["state"], item["event_id"]) for item in page["items"]] == [(state, str(event_id))]
        unfinished = [ids[state] for state in ("dead", "retrying", "running", "waiting", "scheduled")]
        assert await found(notes) == await found(notes, job="notes") == unfinished


async def test_filters(database: Settings, recorder: Recorder) -> None:
    """A search finds jobs of every state; filters are combined."""
    user_id = new_id()
    async with noting(database, job_of(recorder), looping=False) as notes:
        hour = timedelta(hours=1)
        old = await add(notes, "done", created_at=later() - hour, event_type="order.paid")
        dead = await add(notes, "dead", user_id=user_id)
        done = await add(notes, "done", "others", user_id=user_id)
        assert await found(notes, user_id=user_id) == [done, dead]
        assert await found(notes, user_id=user_id, state="done") == [done]
        assert await found(notes, user_id=user_id, job="notes") == [dead]
        assert await found(notes, event_type="order.paid") == [old]
        assert await found(notes, **{"from": rfc3339(later() - hour / 2)}) == [done, dead]
        assert await found(notes, to=rfc3339(later() - hour / 2)) == [old]
        assert await found(notes, job="others", state="done") == [done]
        assert await found(notes, state="done") == [done, old]


@pytest.mark.parametrize("upper", [False, True])
async def test_text(database: Settings, recorder: Recorder, *, upper: bool) -> None:
    """A text is an event's id or its beginning, a user's id, or a part of a type or an error, in any case."""
    user_id = new_id()
    async with noting(database, job_of(recorder), looping=False) as notes:
        event_id = await add(notes, "done", user_id=user_id, event_id=UUID("0a0b0c0d-0102-7000-8000-000000000001"))
        failed = await add(notes, "discarded", last_error=r"Broken: 100%_of \it", event_type="")
        for text, expected in {
            str(event_id): [event_id],
            str(event_id)[:8]: [event_id],
            str(event_id)[:20]: [event_id],
            event_id.hex[:11]: [event_id],
            str(user_id): [event_id],
            "write_n": [event_id],
            "0%_OF \\": [failed],
            "broken: 1": [failed],
            "0a0b0c0e": [],
            "%": [failed],
            "_of": [failed],
            "x%": [],
            str(new_id()): [],
        }.items():
            assert await found(notes, q=text.upper() if upper else text) == expected, text
        assert await found(notes, q=str(event_id), state="dead") == []
        assert await found(notes, q=str(user_id), user_id=user_id) == []


@pytest.mark.parametrize("query", [{}, {"q": "task."}, {"q": "broken"}, {"job": "notes", "q": "task."}])
async def test_pages(database: Settings, recorder: Recorder, query: dict[str, str]) -> None:
    """Each job is on one page, the newest events first, an event of two jobs twice."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        ids = [await add(notes, "dead", last_error="Broken") for _ in range(5)]
        if "job" not in query:
            await add(notes, "dead", "another", event_id=ids[2], last_error="Broken")
        seen: list[tuple[UUID, str]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await notes.read("jobs", limit=2, **query, **cursor)
            seen += [(UUID(item["event_id"]), item["job"]) for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        expected = sorted(((event_id, "notes") for event_id in ids), reverse=True)
        if "job" not in query:
            expected.insert(2, (ids[2], "another"))
        assert seen == expected


@pytest.mark.parametrize("query", [{}, {"job": "notes"}, {"state": "dead"}, {"q": "broken"}])
async def test_pages_by_time(database: Settings, recorder: Recorder, query: dict[str, str]) -> None:
    """In a search by time those that arrived last come first, whatever the ids of their events, each on one page."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        hour = timedelta(hours=1)
        ids = [new_id() for _ in range(5)]
        times = [later() - hour, *[later() - 2 * hour] * 3, later() - 3 * hour]
        for event_id, at in zip(ids, times, strict=True):
            await add(notes, "dead", event_id=event_id, created_at=at, last_error="Broken")
        await add(notes, "dead", created_at=later() - 9 * hour, last_error="Broken")
        limits = {"from": rfc3339(later() - 4 * hour)}
        seen: list[UUID] = []
        cursor: dict[str, str] = {}
        while True:
            page = await notes.read("jobs", limit=2, **query, **limits, **cursor)
            seen += [UUID(item["event_id"]) for item in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == [ids[0], ids[3], ids[2], ids[1], ids[4]]
        await notes.fetch("DELETE FROM jobs")
        assert (await notes.read("jobs", **query, **limits, **cursor))["items"] == []


async def test_a_page_reads_an_index(database: Settings, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many rows there are."""
    indexes: list[tuple[dict[str, Any], str]] = [
        ({}, "jobs_open"),
        ({"state": "suppressed"}, "jobs_closed"),
        ({"job": "job-1", "state": "done"}, "jobs_pkey"),
        ({"state": "done"}, "jobs_pkey"),
        ({"event_type": "order.rare"}, "jobs_type"),
        ({"since": later(seconds=3600)}, "jobs_arrived"),
        ({"job": "job-1", "until": later(days=-1)}, "jobs_arrived"),
        ({"text": "task.write_note"}, "jobs_type"),
        ({"event_type": "order.paid"}, "jobs_type"),
        ({"text": "0a0b0c0d"}, "jobs_pkey"),
        ({"text": "broken"}, "jobs_closed"),
        ({"user_id": UUID(int=1)}, "jobs_user"),
    ]
    statement = search._statement
    monkeypatch.setattr(search, "_statement", lambda *given: f"EXPLAIN {statement(*given)}")
    async with noting(database, job_of(recorder), looping=False) as notes:
        await notes.fetch("""
            INSERT INTO jobs (job, event_id, event_type, user_id, state)
            SELECT 'job-' || i % 3, gen_random_uuid(), 'order.paid', gen_random_uuid(), 'done'
            FROM generate_series(1, 20000) i
        """)
        await notes.fetch("ANALYZE jobs")
        for asked, index in indexes:
            async with notes.db.connection() as connection:
                plan = "\n".join(row[0] for row in await search.page(connection, search.Filter(**asked), None, 20))
            assert index in plan, asked
            assert "Seq Scan on jobs" not in plan, asked


async def test_a_task_in_the_list(database: Settings, recorder: Recorder) -> None:
    """With its key; the message is shown to administrators until the job is done."""
    async with noting(database, job_of(recorder), looping=False) as notes:
        message = note(key="a", due=later(hours=1), task=WriteNote(text="private"))
        await notes.arrive(message)
        [item] = (await notes.read("jobs"))["items"]
        assert (item["key"], item["user_id"], item["error"]) == ("a", None, None)
        assert "payload" not in item
        path = f"jobs/notes/{message.event_id}"
        assert "private" in (await notes.read(path))["payload"]
        assert (await notes.read(path, "support"))["payload"] is None
