"""What operators ask of a worker, and dead jobs for them."""

import json
from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from shared.contracts import events
from shared.http.identity import USER_ID_HEADER, USER_ROLE_HEADER
from shared.ids import new_id
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, World

ADMIN = uuid4()
PATH = "/v1/admin/jobs"
LATER = 3600
"""A delay after which no replayed job becomes due while tests run."""

INSERT = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state, attempts, last_error, error_group, payload, headers)
    SELECT $1, id, id, $3, 'dead', 3, 'Broken: ' || id, $4, $5, $6 FROM unnest($2::uuid[]) AS id
"""


def acting(role: str = "admin") -> dict[str, str]:
    return {USER_ID_HEADER: str(ADMIN), USER_ROLE_HEADER: role}


async def dead(world: World, count: int, group: str, job: str = "email") -> list[UUID]:
    """Jobs of messages that nobody can read."""
    ids = [new_id() for _ in range(count)]
    await world.fetch(INSERT, job, ids, "order.created", group, b"\xff{", "{}")
    return ids


async def dead_of(world: World, event: events.Event, job: str) -> UUID:
    """A job that would succeed now."""
    event_id = new_id()
    headers = json.dumps({"id": str(event_id), "type": event.type, "time": "2026-01-31T12:00:00Z"})
    await world.fetch(INSERT, job, [event_id], event.type, "Mended", events.encode(event), headers)
    return event_id


async def listed(world: World, **query: Any) -> dict[str, Any]:
    answer = await world.http.get(PATH, params=query, headers=acting("support"))
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


async def order(world: World, action: str, **body: Any) -> dict[str, Any]:
    answer = await world.http.post(f"{PATH}/{action}", json=body, headers=acting())
    assert answer.status_code == 200, answer.text
    done: dict[str, Any] = answer.json()
    return done


async def run_schedule(world: World, name: str) -> None:
    """Wait until the worker has stored its schedules, and run one."""

    async def ran() -> bool:
        answer = await world.http.post(f"/v1/admin/schedules/{name}/run", headers=acting())
        return answer.status_code == 202

    await eventually(ran, LONG_S)


async def detail(world: World, job: str, event_id: UUID, role: str = "admin") -> dict[str, Any]:
    answer = await world.http.get(f"{PATH}/{job}/{event_id}", headers=acting(role))
    assert answer.status_code == 200, answer.text
    shown: dict[str, Any] = answer.json()
    return shown


async def states(world: World, ids: Sequence[UUID]) -> set[str]:
    return {row["state"] for row in await world.fetch("SELECT state FROM jobs WHERE event_id = ANY($1)", ids)}


async def audited(world: World, ids: Sequence[UUID]) -> list[UUID]:
    """The event of each audit row."""
    return [row["event_id"] for row in await world.fetch("SELECT * FROM job_audit WHERE event_id = ANY($1)", ids)]
