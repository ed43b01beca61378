"""The operator's commands, and jobs to operate on."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
from typer.testing import CliRunner

from shared.clock import now
from shared.contracts import events
from shared.ids import new_id
from tests.support.stack.running import PASSWORD, Person, Stack
from tools.cli.main import app

INSERT_DEAD = """
    INSERT INTO jobs (job, event_id, user_id, event_type, state, attempts, last_error, error_group, payload, headers)
    VALUES ('notifications', $1, $2, $3, 'dead', 5, 'Broken: by a test', $4, $5, $6)
"""


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Operator:
    """A user with a role, at the command line."""

    def __init__(self, stack: Stack, role: str) -> None:
        self._stack = stack
        self.person = Person(stack)
        self.person.http.close()
        query(stack, "users", "UPDATE users SET role = $2 WHERE id = $1", UUID(self.person.id), role)

    def jobs(self, *arguments: str) -> Said:
        return dashboard(
            "jobs",
            "--data-dir",
            str(self._stack.folder),
            *arguments,
            DASHBOARD_EMAIL=self.person.email,
            DASHBOARD_PASSWORD=PASSWORD,
        )


def dashboard(*arguments: str, **env: str) -> Said:
    done = CliRunner().invoke(app, arguments, env={"COLUMNS": "200", **env})
    return Said(done.exit_code, done.stdout, done.stderr)


def health(stack: Stack) -> tuple[int, dict[str, Any]]:
    """Return the exit status and the JSON of `dashboard status`."""
    said = dashboard("status", "--data-dir", str(stack.folder), "--json")
    return said.code, said.json


def is_well(stack: Stack) -> bool:
    return health(stack)[0] == 0


def query(stack: Stack, service: str, statement: str, *arguments: object) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await asyncpg.connect(stack.info["postgres"]["databases"][service])
        try:
            return await connection.fetch(statement, *arguments)
        finally:
            await connection.close()

    return asyncio.run(run())


def bury(stack: Stack, group: str, count: int = 1) -> list[UUID]:
    """Add dead jobs whose cause is fixed: each notifies a user of their registration. Return the users' ids."""
    users = [new_id() for _ in range(count)]
    for user_id in users:
        event = events.UserRegistered(user_id=user_id, email="", name="", revision=1, registered_at=now())
        event_id = new_id()
        headers = json.dumps({"id": str(event_id), "type": event.type, "time": "2026-01-31T12:00:00Z"})
        query(stack, "worker", INSERT_DEAD, event_id, user_id, event.type, group, events.encode(event), headers)
    return users
