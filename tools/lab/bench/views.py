"""The views of operators, with a large ledger, many accounts and a long audit log: how long each request takes, and its
CPU time, which does not depend on what else the machine does."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx

from shared.ids import new_id
from tools.lab.bench.bed import Bed
from tools.lab.bench.conditions import Conditions, Scale, versions
from tools.lab.bench.report import Report, table
from tools.lab.bench.system import System, running

NAME = "views"
LIMIT_MS = 300
REQUESTS, FEW_REQUESTS = 100, 2
TIMEOUT_S = 120
JOBS = ("analytics", "email", "notifications", "recipients", "webhooks")
SOMEBODY = new_id()
A_DEAD_EVENT = "SELECT job, event_id FROM jobs WHERE state = 'dead' ORDER BY event_id LIMIT 1"
A_PERSON = "SELECT user_id FROM jobs WHERE state = 'done' AND user_id IS NOT NULL LIMIT 1"
"""Ticks of schedules belong to no person."""


@dataclass(frozen=True)
class Size:
    """The number of rows. There are as many retrying, scheduled and discarded jobs as dead ones."""

    done: int = 1_000_000
    dead: int = 1000
    users: int = 100_000
    audit: int = 1_000_000


SMALL_SIZE = Size(done=500, dead=20, users=50, audit=100)
# The ids are UUIDv7: events of the last six days.
EVENT_ID = """
    (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - n * 500), 12, '0') || '7' || substr(md5(n::text), 1, 3)
        || '8' || substr(md5(n::text || $1), 1, 15))::uuid
"""
MADE_AT = "now() - n * interval '0.5 seconds'"
USER_ID = "md5((n % 10000)::text)::uuid"
ADD_DONE = f"""
    INSERT INTO jobs (job, event_id, user_id, event_type, state, created_at, updated_at)
    SELECT ($2::text[])[1 + n % cardinality($2)], {EVENT_ID}, {USER_ID}, 'order.created', 'done', {MADE_AT}, {MADE_AT}
    FROM generate_series(1, $3::bigint) AS n
"""
ADD_ATTEMPTS = """
    INSERT INTO job_attempts (job, event_id, started_at, duration_ms, worker, outcome, trace_id)
    SELECT job, event_id, created_at, 12.5, 'worker-1:1', 'done', md5(event_id::text) FROM jobs WHERE state = 'done'
    ON CONFLICT DO NOTHING
"""
ADD_OPEN = f"""
    INSERT INTO jobs (job, event_id, user_id, event_type, state, attempts, next_attempt_at, last_error, error_group,
        payload, headers, created_at, updated_at)
    SELECT ($2::text[])[1 + n % cardinality($2)], {EVENT_ID}, {USER_ID}, 'order.paid', $4, 5,
        CASE WHEN $4 IN ('retrying', 'scheduled') THEN now() + interval '1 day' END,
        'ConnectError: no route to host ' || n, 'ConnectError ' || n % 20, '{{}}', '{{}}', {MADE_AT}, {MADE_AT}
    FROM generate_series(1, $3::bigint) AS n
"""
ADD_MINUTES = """
    INSERT INTO job_minutes (job, minute, done, durations)
    SELECT job, date_trunc('minute', now()) - n * interval '1 minute', 1000, array_fill(70, ARRAY[15])
    FROM unnest($1::text[]) AS job, generate_series(1, 59) AS n
    ON CONFLICT DO NOTHING
"""
ADD_WORKERS = """
    INSERT INTO workers (id, host, pid, version, in_progress, consumers, consumers_expected)
    SELECT gen_random_uuid(), 'worker-' || n, 1, '0.1.0', '{"email": 1}', $1, cardinality($1::text[])
    FROM generate_series(1, 20) AS n
"""
ADD_USERS = """
    INSERT INTO users (id, email, name, password_hash, role, revision, created_at, updated_at)
    SELECT gen_random_uuid(), 'user-' || n || '@example.com', 'Ann Bench', '', 'user', 1, now(), now()
    FROM generate_series(1, $1::bigint) AS n
"""
ADD_AUDIT = f"""
    INSERT INTO audit (id, action, actor_id, actor_role, subject_id, created_at)
    SELECT {EVENT_ID}, CASE WHEN n % 1000 = 0 THEN 'account_suspended' ELSE 'signed_in' END, {USER_ID}, 'user',
        {USER_ID}, {MADE_AT}
    FROM generate_series(1, $2::bigint) AS n
"""


@dataclass(frozen=True)
class View:
    """A request that a view sends. A POST only counts what it would change."""

    name: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None


def run(bed: Bed, scale: Scale) -> Report:
    size = SMALL_SIZE if scale.small else Size()
    report = Report(NAME)
    with running(bed) as system:
        asyncio.run(seed(system, size))
        conditions = Conditions(
            scale, versions("asyncpg"), f"here {REQUESTS} of each request, one after another, instead of windows"
        )
        found = asyncio.run(measure(system, FEW_REQUESTS if scale.small else REQUESTS))
    rows = [_row(view, taken) for view, taken in found]
    report.add(
        conditions.tell(),
        f"Requests through the gateway to services on one machine, with {size.done:,} completed jobs and as many "
        f"attempts, {size.dead:,} jobs each that are dead, retrying, scheduled and discarded, {size.users:,} accounts "
        f"and {size.audit:,} entries of the audit log. The target is {LIMIT_MS} ms.",
        "CPU is the time of all processes of the system, with their work in the background, per request.",
        table(["view", "request", "CPU (ms)", "of that Postgres (ms)", "p50 (ms)", "p95 (ms)", "slowest (ms)"], rows),
    )
    return report


async def seed(system: System, size: Size) -> None:
    jobs = list(JOBS)
    opened = [(ADD_OPEN, state, jobs, size.dead, state) for state in ("dead", "retrying", "scheduled", "discarded")]
    await _write(
        system.databases.worker,
        (ADD_DONE, "done", jobs, size.done),
        (ADD_ATTEMPTS,),
        *opened,
        (ADD_MINUTES, jobs),
        (ADD_WORKERS, [f"worker.{job}" for job in jobs]),
    )
    await _write(system.databases.users, (ADD_USERS, size.users), (ADD_AUDIT, "audit", size.audit))


async def _write(url: str, *statements: tuple[object, ...]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement, *arguments in statements:
            await connection.execute(str(statement), *arguments, timeout=900)
        await connection.execute("VACUUM ANALYZE", timeout=900)
    finally:
        await connection.close()


async def views(system: System) -> list[View]:
    """Return one request of each kind: by each filter, and without any."""
    connection = await asyncpg.connect(system.databases.worker)
    try:
        [(job, event_id)] = await connection.fetch(A_DEAD_EVENT)
        user_id = str(await connection.fetchval(A_PERSON))
    finally:
        await connection.close()
    return [
        View("Overview", "/v1/admin/status"),
        View("", "/v1/admin/jobs/groups"),
        View("", "/v1/admin/jobs/paused"),
        View("Jobs", "/v1/admin/jobs"),
        *_searches(str(user_id)),
        View("Bulk, counted", "/v1/admin/jobs/retry", body={"error_group": "ConnectError 7"}),
        View("", "/v1/admin/jobs/retry", body={"q": "no route to host 1"}),
        View("", "/v1/admin/jobs/cancel", body={"user_id": user_id}),
        View("", "/v1/admin/jobs/cancel", body={"job": "email"}),
        View("", "/v1/admin/jobs/discard", body={"job": "email", "reason": "bench"}),
        View("One job", f"/v1/admin/jobs/{job}/{event_id}"),
        View("History", "/v1/admin/jobs/history"),
        View("Workers", "/v1/admin/workers"),
        View("Schedules", "/v1/admin/schedules"),
        View("Users", "/v1/users"),
        View("", "/v1/users", {"q": "user-9"}),
        View("", "/v1/users", {"q": "user-99123@"}),
        View("", f"/v1/admin/users/{system.person.id}"),
        View("Audit", "/v1/admin/audit"),
        View("", "/v1/admin/audit", {"actor_id": user_id}),
        View("", "/v1/admin/audit", {"subject_id": user_id}),
        View("", "/v1/admin/audit", {"action": "account_suspended"}),
        View("", "/v1/admin/audit", {"action": "no_such_action"}),
        View("", "/v1/admin/audit", {"action": "signed_in", "to": _days_ago(5)}),
    ]


def _searches(user_id: str) -> list[View]:
    filters: list[dict[str, str]] = [
        *({"state": state} for state in ("dead", "retrying", "scheduled", "done", "discarded")),
        {"job": "email"},
        {"job": "email", "state": "done"},
        {"user_id": user_id},
        {"event_type": "order.paid"},
        {"event_type": "no.such.type"},
        {"from": _days_ago(3), "to": _days_ago(2)},
        {"from": _days_ago(-1)},
        {"job": "email", "to": _days_ago(5)},
        {"q": "no route to host 77"},
        {"q": "nothing has this text"},
        {"q": "order."},
        {"q": str(SOMEBODY)},
        {"error_group": "ConnectError 7"},
    ]
    return [View("", "/v1/admin/jobs", query) for query in filters]


def _days_ago(days: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - days * 86_400))


@dataclass(frozen=True)
class Taken:
    """The milliseconds of each request, and the CPU milliseconds per request, of all processes and of Postgres."""

    times: Sequence[float]
    cpu_ms: float
    postgres_ms: float


def _row(view: View, taken: Taken) -> list[str]:
    times = (f"{ms:,.0f}" for ms in _percentiles(taken.times))
    return [view.name, f"`{_address(view)}`", f"{taken.cpu_ms:.1f}", f"{taken.postgres_ms:.1f}", *times]


async def measure(system: System, requests: int) -> list[tuple[View, Taken]]:
    """Measure each view, one after another."""
    token = system.tokens.issue(UUID(system.person.id), uuid4(), "admin")
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=system.stack.url, headers=headers, timeout=TIMEOUT_S) as http:
        return [(view, await _taken(system, http, view, requests)) for view in await views(system)]


async def _taken(system: System, http: httpx.AsyncClient, view: View, requests: int) -> Taken:
    await _times(http, view, 1)  # opens connections, and fills caches
    before = await asyncio.to_thread(system.cpu)
    times = await _times(http, view, requests)
    after = await asyncio.to_thread(system.cpu)
    used = {name: (seconds - before[name]) / requests * 1000 for name, seconds in after.items()}
    return Taken(times, sum(used.values()), used["postgres"])


async def _times(http: httpx.AsyncClient, view: View, requests: int) -> list[float]:
    times = []
    for _ in range(requests):
        began = time.perf_counter()
        if view.body is None:
            answer = await http.get(view.path, params=dict(view.query))
        else:
            answer = await http.post(view.path, json={**view.body, "dry_run": True})
        answer.raise_for_status()
        times.append((time.perf_counter() - began) * 1000)
    return times


def _address(view: View) -> str:
    if view.body is not None:
        filters = " ".join(f"{name}={value}" for name, value in view.body.items() if name != "reason")
        return f"POST {view.path} {filters}"
    query = "&".join(f"{name}={value}" for name, value in view.query.items())
    return f"{view.path}?{query}" if query else view.path


def _percentiles(times: Sequence[float]) -> tuple[float, float, float]:
    ordered = sorted(times)
    return ordered[len(ordered) // 2], ordered[ceil(0.95 * len(ordered)) - 1], ordered[-1]
