"""docs/tutorials/from-background-tasks.md: both versions of its application are killed with waiting mails."""

import asyncio
import sys
from collections import Counter
from pathlib import Path

import httpx
import pytest

from tests.e2e.tutorials.blocks import apply, blocks
from tests.support.backends import RabbitBackend
from tests.support.backends.databases import NewDatabase
from tests.support.backends.smtp import SmtpServer
from tests.support.backends.vhosts import empty_vhost
from tests.support.programs import Program, application, running, worker_with
from tests.support.project_copy import ROOT, run_in
from tests.support.waiting import eventually
from tools.devstack.system.ports import free_port

PAGE = (ROOT / "docs/tutorials/from-background-tasks.md").read_text()
REQUESTS = 20
LAST_S = 300.0
MARK = "after@example.com"
WAITING = [f"waiting-{number}@example.com" for number in range(REQUESTS)]


async def request(port: int, *recipients: str) -> None:
    """Each on a connection of its own: a connection is in use until its background tasks have ended."""

    async def one(recipient: str) -> None:
        async with httpx.AsyncClient(timeout=60) as http:
            answer = await http.post(f"http://127.0.0.1:{port}/send-notification/{recipient}")
            assert answer.status_code == 200

    await asyncio.gather(*map(one, recipients))


async def kill_while_waiting(port: int, smtp: SmtpServer, expected: list[str], *programs: Program) -> None:
    """Answer all requests while the mail server is slow, and kill the programs. Start them again with a mail server
    that works, and wait for the expected mails."""
    smtp.greets = False
    async with running(*programs):
        await request(port, *WAITING)
        await eventually(lambda: smtp.conversations, LAST_S)
        for program in programs:
            await program.kill()
        smtp.hang_up()
        smtp.greets = True
        for program in programs:
            await program.start()
        for program in programs:
            await program.until_ready()
        await request(port, MARK)
        await eventually(lambda: set(expected) <= set(received(smtp)), LAST_S)


def received(smtp: SmtpServer) -> Counter[str]:
    return Counter(recipient for mail in smtp.messages for recipient in mail.recipients)


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.mark.full
async def test_background_tasks_are_lost_with_their_process(smtp: SmtpServer, tmp_path: Path, port: int) -> None:
    """All requests were answered with 200, and none of their mails is ever sent."""
    before = next(block for block in blocks(PAGE) if block.file == "notify/app.py")
    (tmp_path / "notify").mkdir()
    (tmp_path / "notify/app.py").write_text(before.text)
    environment = {"PYTHONPATH": str(tmp_path), "SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(smtp.port)}
    await kill_while_waiting(port, smtp, [MARK], application("notify.app:app", port, environment, tmp_path))
    assert received(smtp) == {MARK: 1}


@pytest.mark.full
async def test_durable_tasks_are_not(
    smtp: SmtpServer, tmp_path: Path, port: int, new_database: NewDatabase, rabbitmq: RabbitBackend
) -> None:
    """The page's changes applied, and the worker killed as well: every mail is sent, none twice."""
    apply(PAGE, tmp_path)
    with empty_vhost(rabbitmq) as vhost:
        environment = {
            "PYTHONPATH": f"{ROOT}:{tmp_path}",
            "DATABASE_URL": new_database(),
            "RABBITMQ_URL": vhost,
        }
        run_in(tmp_path, [sys.executable, "-m", "notify.migrate"], environment)
        worker = worker_with(
            "notify.jobs",
            database_url=new_database("worker"),
            rabbitmq_url=vhost,
            smtp_url=smtp.url,
            more=environment,
            folder=tmp_path,
        )
        app = application("notify.app:app", port, environment, tmp_path)
        await kill_while_waiting(port, smtp, [MARK, *WAITING], app, worker)
    assert received(smtp) == Counter([MARK, *WAITING])
