"""The operators' commands on a running stack."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.support.stack.operators import Operator, bury, dashboard, health, is_well, query
from tests.support.stack.running import PATIENCE_S, Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def admin(stack: Stack) -> Operator:
    return Operator(stack, "admin")


@pytest.fixture
def group(stack: Stack) -> Iterator[str]:
    """Provide an error group for one test, and delete it afterwards."""
    name = uuid4().hex
    yield name
    query(stack, "worker", "DELETE FROM jobs WHERE error_group = $1", name)


def notified(stack: Stack, users: list[UUID]) -> int:
    return len(query(stack, "worker", "SELECT 1 FROM notifications WHERE user_id = ANY($1)", users))


def well(stack: Stack) -> dict[str, Any]:
    """Return the status of a stack as soon as it has no problems."""
    seen: list[tuple[int, dict[str, Any]]] = []

    def is_told() -> bool:
        seen.append(health(stack))
        return seen[-1][0] == 0

    wait_until(is_told, PATIENCE_S)
    return seen[-1][1]


def test_dead_jobs_are_listed_shown_and_replayed(stack: Stack, admin: Operator, group: str) -> None:
    """An operator lists dead jobs, sees the cause, makes a dry run, and replays them; each then runs once."""
    users = bury(stack, group, 3)
    listed = admin.jobs("list", "--group", group, "--json").json
    assert [UUID(job["user_id"]) for job in listed] == users[::-1]
    [counted] = [one for one in admin.jobs("groups", "--json").json if one["error_group"] == group]
    assert (counted["count"], counted["state"]) == (3, "dead")
    shown = admin.jobs("show", "notifications", listed[0]["event_id"]).out
    assert "Broken: by a test" in shown
    assert str(users[2]) in shown

    tried = admin.jobs("replay", "--group", group, "--dry-run").out
    assert tried == "3 jobs match; 3 would be replayed.\n"
    assert notified(stack, users) == 0
    assert admin.jobs("replay", "--group", group, "--rate", "20", "--json").json == {"matched": 3, "replayed": 3}
    wait_until(lambda: notified(stack, users) == 3, PATIENCE_S)
    assert admin.jobs("list", "--group", group).out == "No such jobs.\n"
    assert admin.jobs("replay", "--group", group).out == "0 of 0 jobs replayed.\n"

    done = admin.jobs("show", "notifications", listed[0]["event_id"], "--json").json
    assert (done["state"], done["total_attempts"]) == ("done", 6)
    assert [(entry["action"], entry["actor"]) for entry in done["audit"]] == [("replay", admin.person.id)]


def test_many_jobs_are_replayed_in_batches(stack: Stack, admin: Operator, group: str) -> None:
    """One command replays more than one batch, up to its limit."""
    bury(stack, group)
    query(stack, "worker", COPIES, group, 1199)
    assert (
        admin.jobs("replay", "--group", group, "--limit", "1100", "--rate", "0.01").out
        == "1100 of 1200 jobs replayed.\n"
    )
    states = query(
        stack, "worker", "SELECT state, count(*) FROM jobs WHERE error_group = $1 GROUP BY 1 ORDER BY 1", group
    )
    counts = dict(map(tuple, states))
    assert counts["dead"] == 100, query(stack, "worker", CHANGES, group)
    assert counts["retrying"] in (1099, 1100)  # the first is due at once, and may be running
    [due] = query(stack, "worker", DUE, group)
    assert due["seconds"] == pytest.approx(1099 / 0.01, rel=0.01)


CHANGES = """
    SELECT state, action, actor, count(*) FROM jobs LEFT JOIN job_audit USING (job, event_id)
    WHERE error_group = $1 GROUP BY 1, 2, 3
"""
COPIES = """
    INSERT INTO jobs (job, event_id, event_type, state, error_group, payload, headers)
    SELECT job, copy.id, event_type, state, error_group, payload, jsonb_set(headers::jsonb, '{id}', to_jsonb(copy.id))
    FROM jobs, (SELECT gen_random_uuid() AS id FROM generate_series(1, $2)) AS copy WHERE error_group = $1
"""
DUE = """
    SELECT extract(epoch FROM max(next_attempt_at) - min(next_attempt_at))::float8 AS seconds
    FROM jobs WHERE error_group = $1
"""


def test_dead_jobs_are_discarded(stack: Stack, admin: Operator, group: str) -> None:
    """Dead jobs are discarded with a reason, and then listed only on request."""
    bury(stack, group, 2)
    assert admin.jobs("discard", "--group", group, "--reason", "a test").out == "2 of 2 jobs discarded.\n"
    assert admin.jobs("list", "--group", group, "--json").json == []
    discarded = admin.jobs("list", "--group", group, "--state", "discarded", "--json").json
    shown = admin.jobs("show", "notifications", discarded[0]["event_id"]).out
    assert f"discard by {admin.person.id}, because a test" in shown


def test_jobs_of_a_search_are_cancelled_and_retried(stack: Stack, admin: Operator, group: str) -> None:
    """Those that would be retried, by a filter and a state; then each of them runs once."""
    users = bury(stack, group, 3)
    query(stack, "worker", LATER, group)
    filters = ("--group", group, "--type", "user.registered")
    assert admin.jobs("cancel", *filters, "--dry-run").out == "3 jobs match; 3 would be cancelled.\n"
    assert admin.jobs("cancel", *filters, "--limit", "2", "--yes").out == "2 of 3 jobs cancelled.\n"
    assert len(admin.jobs("list", *filters, "--state", "cancelled", "--json").json) == 2
    retried = admin.jobs("retry", *filters, "--state", "cancelled", "--yes", "--json").json
    assert retried == {"matched": 2, "retried": 2}
    assert admin.jobs("retry", *filters, "--state", "retrying", "--yes").code == 0
    wait_until(lambda: notified(stack, users) == 3, PATIENCE_S)
    audit = query(stack, "worker", AUDIT, users)
    assert [tuple(row) for row in audit][:2] == [
        ("cancel", UUID(admin.person.id), 2),
        ("retry", UUID(admin.person.id), 3),
    ]


LATER = """
    UPDATE jobs SET state = 'retrying', next_attempt_at = now() + interval '1 hour' WHERE error_group = $1
"""
AUDIT = """
    SELECT action, actor, count(DISTINCT event_id) FROM job_audit WHERE user_id = ANY($1) GROUP BY 1, 2 ORDER BY 1
"""


@pytest.mark.parametrize(
    ("role", "arguments", "code"),
    [
        ("user", ("list",), 1),
        ("support", ("cancel", "--job", "email", "--yes"), 1),
        ("admin", ("retry", "--state", "dead", "--yes"), 1),
        ("support", ("list",), 0),
        ("support", ("replay", "--job", "email"), 1),
        ("admin", ("replay",), 1),
        ("admin", ("list", "--state", "eaten"), 1),
        ("admin", ("show", "email", str(uuid4())), 1),
        ("admin", ("show", "../x", str(uuid4())), 1),
    ],
)
def test_what_is_refused_says_why(stack: Stack, role: str, arguments: tuple[str, ...], code: int) -> None:
    """The exit status is 1, and one line on standard error has the gateway's reason."""
    said = Operator(stack, role).jobs(*arguments)
    assert said.code == code
    assert len(said.err.splitlines()) == code
    assert said.err.startswith("dashboard: " if code else "")


def test_without_credentials_or_gateway(stack: Stack) -> None:
    """A wrong password, a missing account and an address without a listener are one line each, without a traceback."""
    for arguments, reason in (
        (("--url", stack.url), "no credentials"),
        (("--url", stack.url, "--email", "x@example.com", "--password", "wrong-password"), "(401)"),
        (("--url", stack.url, "--token", "x"), "(401)"),
        (("--url", "http://127.0.0.1:9", "--token", "x"), "nothing answers"),
        (("--url", "nonsense", "--token", "x"), "does not answer"),
    ):
        said = dashboard("jobs", *arguments, "list")
        assert said.code == 1
        assert reason in said.err
        assert len(said.err.splitlines()) == 1


def test_status_of_a_stack_that_is_well(stack: Stack) -> None:
    """Every process is ready, every queue has a consumer, the outboxes are known, and the exit status is 0."""
    told = well(stack)
    assert [process["name"] for process in told["processes"]] == ["gateway", "users", "orders", "worker"]
    assert {process["status"] for process in told["processes"]} == {"ready"}
    assert {"worker.email", "worker.analytics"} <= {queue["name"] for queue in told["queues"]}
    assert [outbox["service"] for outbox in told["outboxes"]] == ["users", "orders", "worker"]
    assert {"job": "email", "dead": 0, "retrying": 0} in told["jobs"]

    def is_on_the_screen() -> bool:
        screen = dashboard("status", "--data-dir", str(stack.folder))
        return (screen.code, "OK" in screen.out.split()) == (0, True)

    wait_until(is_on_the_screen, PATIENCE_S)


def test_status_names_dead_jobs(stack: Stack, group: str) -> None:
    """Dead jobs are problems."""
    wait_until(lambda: is_well(stack), PATIENCE_S)
    bury(stack, group, 2)
    wait_until(lambda: "2 dead jobs of notifications" in health(stack)[1]["problems"], PATIENCE_S)
    screen = dashboard("status", "--data-dir", str(stack.folder))
    assert (screen.code, "2 dead jobs of notifications" in screen.out) == (1, True)


@pytest.mark.full
def test_status_shows_what_it_cannot_reach(stack: Stack) -> None:
    """A hanging service is named and its outbox unknown. All others are shown as usual, and the exit status is 1."""
    seen: list[tuple[int, dict[str, Any]]] = []

    def only_orders_is_away() -> bool:
        seen.append(health(stack))
        statuses = {process["name"]: process["status"] for process in seen[-1][1]["processes"]}
        return statuses == {"gateway": "ready", "users": "ready", "orders": "unreachable", "worker": "ready"}

    wait_until(lambda: is_well(stack), PATIENCE_S)
    with stack.frozen("orders"):
        wait_until(only_orders_is_away, PATIENCE_S)
    code, told = seen[-1]
    assert code == 1
    assert {"service": "orders", "rows": None, "oldest_s": None} in told["outboxes"]
    assert "orders is unreachable: no answer within 4 s" in told["problems"]


def accept_ctrl_c() -> None:
    """Restore SIGINT: a shell without job control lets its background processes ignore it, and their children inherit
    that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.full
def test_watching(stack: Stack) -> None:
    """With --watch the status is printed repeatedly until Ctrl-C."""
    command = [sys.executable, "-m", "tools.cli.main", "status", "--watch", "--json", "--data-dir", str(stack.folder)]
    wait_until(lambda: is_well(stack), PATIENCE_S)
    unbuffered = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=unbuffered, preexec_fn=accept_ctrl_c) as run:
        assert run.stdout is not None
        decoder, text, documents = json.JSONDecoder(), "", 0
        while documents < 2:
            text += run.stdout.readline()
            try:
                decoder.decode(text)
            except ValueError:
                continue
            text, documents = "", documents + 1
        run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE_S) == 0
