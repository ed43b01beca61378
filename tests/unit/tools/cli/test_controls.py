"""The commands that search and control jobs and schedules, with a stand-in for the gateway."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from tools.cli import jobs
from tools.cli.api import Api
from tools.cli.main import app

JOB: dict[str, Any] = {
    "job": "notes",
    "event_id": "e1",
    "state": "scheduled",
    "attempts": 1,
    "error": "Broken: [once]",
    "last_error": "Broken: [once]",
    "payload": '{"text": "hello"}',
    "headers": None,
    "attempt_log": [
        {
            "number": 1,
            "started_at": "2026-01-31T12:00:00Z",
            "duration_ms": 12.3,
            "worker": "host:7",
            "outcome": "retrying",
            "error": "Broken: [once]",
            "trace_id": "abc",
        }
    ],
    "audit": [],
}
SCHEDULES: list[dict[str, Any]] = [
    {"name": "digest", "cron": "0 7 * * 1", "timezone": "UTC", "paused": True, "last_run": None, "next_run": None},
    {
        "name": "purge",
        "cron": "* * * * *",
        "timezone": "Europe/Berlin",
        "paused": False,
        "last_run": "2026-01-31T12:00:00Z",
        "next_run": "2026-01-31T12:01:00Z",
    },
]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that the gateway received."""
    requests: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.raw_path.decode().removeprefix("/v1/admin/")
        requests.append(f"{request.method} {path}")
        if path.startswith("jobs/missing"):
            return httpx.Response(404, json={"title": "No such job", "detail": "No such job"})
        if request.method == "GET":
            lists = {"schedules": {"items": SCHEDULES}, "jobs": {"items": [JOB], "next_cursor": None}}
            return httpx.Response(200, json=lists.get(path.partition("?")[0], JOB))
        if path in ("jobs/retry", "jobs/cancel", "jobs/replay", "jobs/discard"):
            order = json.loads(request.content)
            requests.append(json.dumps(order, sort_keys=True))
            changed = 0 if order["dry_run"] else 2
            counts = dict.fromkeys(("retried", "cancelled", "replayed", "discarded"), changed)
            return httpx.Response(200, json={"matched": 2, "as_of": "then", **counts})
        if path.endswith("/run"):
            return httpx.Response(202, json={"job": "digest", "event_id": "e2"})
        return httpx.Response(204)

    @contextmanager
    def signed_in(*_: object) -> Iterator[Api]:
        with httpx.Client(transport=httpx.MockTransport(answer), base_url="http://gateway") as http:
            yield Api(http)

    monkeypatch.setattr(Api, "signed_in", signed_in)
    monkeypatch.setattr(jobs.Access, "resolved", lambda _: ("", None))
    return requests


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.mark.parametrize(
    ("command", "requests", "output", "as_json"),
    [
        (("jobs", "retry", "notes", "e1"), ["POST jobs/notes/e1/retry", "GET jobs/notes/e1"], "scheduled", JOB),
        (("jobs", "cancel", "notes", "e1"), ["POST jobs/notes/e1/cancel", "GET jobs/notes/e1"], "scheduled", JOB),
        (("jobs", "pause", "notes"), ["POST jobs/notes/pause"], "paused", {"job": "notes", "paused": True}),
        (("jobs", "resume", "notes"), ["POST jobs/notes/resume"], "resumed", {"job": "notes", "paused": False}),
        (("jobs", "show", "notes", "e1"), ["GET jobs/notes/e1"], "attempt 1 on host:7 in 12 ms", JOB),
        (("schedules", "list"), ["GET schedules"], "Europe/Berlin", SCHEDULES),
        (("schedules", "run", "digest"), ["POST schedules/digest/run"], "e2", {"job": "digest", "event_id": "e2"}),
        (("schedules", "pause", "digest"), ["POST schedules/digest/pause", "GET schedules"], "paused", SCHEDULES[0]),
        (("schedules", "resume", "purge"), ["POST schedules/purge/resume", "GET schedules"], "resumed", SCHEDULES[1]),
    ],
)
def test_a_command(
    sent: list[str], command: tuple[str, ...], requests: list[str], output: str, as_json: object
) -> None:
    """It sends its requests, and says what has been done, as text or as JSON."""
    assert output in run(*command)
    assert sent == requests
    assert json.loads(run(*command, "--json")) == as_json


def test_the_filters_of_the_list(sent: list[str]) -> None:
    """Each option is a parameter of the query."""
    options = {"--state": "done", "--job": "notes", "--type": "t", "--user": "u", "--from": "f", "--to": "g"}
    given = [text for option in (options | {"--search": "a b"}).items() for text in option]
    assert "notes" in run("jobs", "list", *given)
    [request] = sent
    query = dict(httpx.QueryParams(request.partition("?")[2]))
    assert query == {
        "state": "done",
        "job": "notes",
        "event_type": "t",
        "user_id": "u",
        "from": "f",
        "to": "g",
        "q": "a b",
        "limit": "50",
    }


FILTERS = {
    "--job": "notes",
    "--type": "t",
    "--user": "u",
    "--from": "f",
    "--to": "g",
    "--search": "a b",
    "--group": "c",
}
CHOSEN = {"job": "notes", "event_type": "t", "user_id": "u", "from": "f", "to": "g", "q": "a b", "error_group": "c"}


@pytest.mark.parametrize(
    ("command", "order"),
    [
        (("retry", "--state", "dead"), {"state": "dead"}),
        (("cancel", "--state", "waiting"), {"state": "waiting"}),
        (("replay",), {"state": "dead"}),
        (("discard", "--reason", "r"), {"reason": "r"}),
    ],
)
def test_all_jobs_that_match_are_changed(sent: list[str], command: tuple[str, ...], order: dict[str, str]) -> None:
    """With the filters of the list, and events. They are counted first; a dry run ends there."""
    given = [text for option in (FILTERS | {"--event": "e1"}).items() for text in option]
    chosen = CHOSEN | order | {"event_ids": ["e1"]}
    said = run("jobs", *command, *given, "--dry-run")
    assert said.startswith("2 jobs match; 2 would be ")
    counted = [f"POST jobs/{command[0]}", json.dumps(chosen | {"dry_run": True}, sort_keys=True)]
    assert sent == counted
    agreed = ("--yes",) if command[0] in ("retry", "cancel") else ()
    assert run("jobs", *command, *given, *agreed).startswith("2 of 2 jobs ")
    changed = json.dumps(chosen | {"dry_run": False, "as_of": "then", "limit": 2}, sort_keys=True)
    assert sent[2:] == [*counted, counted[0], changed]


@pytest.mark.parametrize(("said", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_person_is_asked(sent: list[str], said: str, code: int) -> None:
    """On standard error, with the number of jobs. Anything else than yes changes nothing."""
    done = CliRunner().invoke(app, ("jobs", "cancel", "--job", "notes"), input=said)
    assert done.exit_code == code
    assert "2 jobs match; 2 will be cancelled. Continue?" in done.stderr
    assert ("2 of 2 jobs cancelled." in done.stdout) == (code == 0)
    assert sent.count("POST jobs/cancel") == 2 - code


def test_a_dry_run_of_one_job_changes_nothing(sent: list[str]) -> None:
    """It says whether the job would be changed."""
    assert run("jobs", "cancel", "notes", "e1", "--dry-run") == "2 jobs match; 2 would be cancelled.\n"
    assert json.loads(sent[1]) == {"job": "notes", "event_ids": ["e1"], "dry_run": True}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "give a job and an event, or filters"),
        (("notes",), "or --job notes for all jobs of this name"),
        (("notes", "e1", "--search", "x"), "give either a job and an event, or filters"),
    ],
)
def test_it_is_clear_which_jobs_are_meant(sent: list[str], arguments: tuple[str, ...], reason: str) -> None:
    """Either one job, or those that match filters; nothing is sent otherwise."""
    done = CliRunner().invoke(app, ("jobs", "retry", *arguments), env={"COLUMNS": "200"})
    assert (done.exit_code, reason in done.stderr, sent) == (2, True, [])


@pytest.mark.usefixtures("sent")
def test_a_refusal() -> None:
    """The gateway's reason is printed, and the status is 1."""
    done = CliRunner().invoke(app, ("jobs", "pause", "missing"))
    assert (done.exit_code, done.stderr) == (1, "dashboard: No such job (404)\n")
