import asyncio
import os
import smtplib
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import asyncpg
import psutil
import pytest
from redis import Redis

from tools.devstack.mailbox import Mailbox
from tools.devstack.mailcatcher import MailCatcher
from tools.devstack.servers.postgres import Postgres
from tools.devstack.servers.rabbitmq import RabbitMQ
from tools.devstack.servers.valkey import Valkey
from tools.devstack.system.databases import create_databases, execute, fetch, with_database
from tools.devstack.system.errors import StartError
from tools.devstack.system.ports import accepts
from tools.devstack.system.processes import Processes

_PASSWORDS = {"users": "u1", "orders": "o1"}


@pytest.mark.full
async def test_postgres_comes_back_from_a_kill_with_work_under_way(postgres_server: Postgres) -> None:
    """After a kill during a query, Postgres is up again on the same port with its data."""
    port = postgres_server.port
    execute(postgres_server.url, "CREATE TABLE kept (n int)", "INSERT INTO kept VALUES (1)")
    client = await asyncpg.connect(postgres_server.url)
    query = asyncio.create_task(client.execute("SELECT sum(n) FROM generate_series(1, 1000000000) AS t (n)"))
    await asyncio.sleep(0)
    await asyncio.to_thread(postgres_server.kill)
    await asyncio.to_thread(postgres_server.start)
    assert postgres_server.port == port
    assert fetch(postgres_server.url, "SELECT n FROM kept")[0]["n"] == 1
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await query


def test_a_stale_pid_file_that_names_a_living_process_is_no_hindrance(postgres_server: Postgres) -> None:
    """After a reboot, the pid in postmaster.pid may be that of another process: Postgres starts anyway."""
    postgres_server.kill()
    file = postgres_server.data / "postmaster.pid"
    _, *rest = file.read_text().splitlines(keepends=True)
    file.write_text("".join([f"{os.getpid()}\n", *rest]))
    postgres_server.start()
    assert fetch(postgres_server.url, "SELECT 1")


def test_each_role_reaches_its_own_database_only(postgres_server: Postgres) -> None:
    """Each role needs its password. Running the setup again changes the password and keeps the data."""
    urls = create_databases(postgres_server.url, _PASSWORDS)
    execute(urls["users"], "CREATE TABLE kept (n int)")
    with pytest.raises(asyncpg.InvalidPasswordError):
        execute(with_database(postgres_server.url, "users", "users", "wrong"), "SELECT 1")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        execute(with_database(urls["users"], "orders"), "SELECT 1")
    again = create_databases(postgres_server.url, {"users": "u2"})
    assert fetch(again["users"], "SELECT * FROM kept") == []


def test_a_role_with_createdb_and_createrole_is_enough(postgres_server: Postgres) -> None:
    """DATABASE_URL does not need a superuser. The error for a role without these rights names them."""
    execute(
        postgres_server.url,
        "CREATE ROLE maker LOGIN PASSWORD 'm' CREATEDB CREATEROLE",
        "CREATE ROLE nobody LOGIN PASSWORD 'n'",
    )
    maker = with_database(postgres_server.url, "postgres", "maker", "m")
    urls = create_databases(maker, {"worker": "w1"})
    execute(urls["worker"], "CREATE TABLE t (n int)")
    nobody = with_database(postgres_server.url, "postgres", "nobody", "n")
    with pytest.raises(StartError, match="CREATEDB and CREATEROLE"):
        create_databases(nobody, {"reports": "r1"})


def test_postgres_says_why_it_does_not_start(folder: Path, processes: Processes) -> None:
    """The message contains the end of its log."""
    server = Postgres(processes, folder / "broken", folder / "broken.log", durable=False)
    server.start()
    server.stop()
    (server.data / "global" / "pg_control").unlink()
    with pytest.raises(StartError, match="could not find the database system"):
        server.start()


def test_valkey_keeps_its_data_over_a_kill(folder: Path, processes: Processes) -> None:
    """Data that was written before the kill is available again, at the same URL."""
    server = Valkey(processes, folder / "redis", folder / "redis.log")
    server.start()
    with Redis.from_url(server.url) as client:
        client.set("key", "value")
        client.execute_command("WAITAOF", 1, 0, 0)
    server.kill()
    server.start()
    with Redis.from_url(server.url) as client:
        assert client.get("key") == b"value"
    server.stop()


@pytest.fixture
def catcher(folder: Path, processes: Processes) -> Iterator[MailCatcher]:
    server = MailCatcher(processes, folder / "mail.sqlite", folder / "smtp.log")
    server.start()
    yield server
    server.stop()


def _send(port: int, to: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "shop@example.com", to, "Grüße"
    mail.set_content("Guten Tag")
    mail.add_alternative("<p>Guten Tag</p>", subtype="html")
    with smtplib.SMTP("127.0.0.1", port, timeout=120) as client:
        client.send_message(mail)


def test_caught_mails_survive_a_kill(catcher: MailCatcher) -> None:
    """An accepted mail is in the mailbox even if the catcher is killed right afterwards."""
    _send(catcher.port, "ada@example.com")
    catcher.kill()
    catcher.start()
    _send(catcher.port, "grace@example.com")
    mailbox = Mailbox(catcher.mailbox)
    assert [mail.recipients for mail in mailbox.mails()] == [["ada@example.com"], ["grace@example.com"]]
    [mine] = mailbox.mails(to="grace")
    assert (mine.subject, mine.text()) == ("Grüße", "Guten Tag\n")
    assert mailbox.get(mine.id) == mine
    assert mailbox.get(99) is None


@pytest.mark.full
@pytest.mark.usefixtures("needs_rabbitmq")
def test_rabbitmq_leaves_nothing_behind(folder: Path, processes: Processes) -> None:
    """RabbitMQ uses no default ports, and after the stop neither the node nor its epmd is running."""
    server = RabbitMQ(processes, folder / "rabbitmq", folder / "rabbitmq.log")
    server.start()
    node = psutil.Process(server.pids[0])
    listening = {row.laddr.port for row in node.net_connections("tcp") if row.status == psutil.CONN_LISTEN}
    assert server.port in listening
    assert not listening & {4369, 5672, 25672}
    server.stop()
    assert not node.is_running()
    assert not accepts(server._epmd_port)


@pytest.mark.usefixtures("needs_rabbitmq")
def test_rabbitmq_says_why_it_does_not_start(folder: Path, processes: Processes) -> None:
    """The message contains the reason from its log."""
    server = RabbitMQ(processes, folder / "rabbitmq-broken", folder / "rabbitmq-broken.log")
    server._write_files = lambda: (server.folder / "home").mkdir(parents=True)  # type: ignore[method-assign]
    (folder / "rabbitmq-broken").mkdir()
    (server.folder / "rabbitmq.conf").write_text("nosuchsetting = 1\n")
    with pytest.raises(StartError, match="nosuchsetting"):
        server.start()
    server.stop()
