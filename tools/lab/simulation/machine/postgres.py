"""A real Postgres in a simulated world.

Every exchange with the server is made at once and in this thread, so that the order of statements is a function of the
seed: a batch of messages is sent, and the loop stands still until the server is ready for the next. What is simulated
is when a batch leaves the process and when its answer arrives, and what is lost on the way.

- A statement that waits for another transaction's lock is recognised with `pg_blocking_pids`. It stays pending, and
  others go on; after each exchange it is looked at again.
- Time is virtual: before each batch the session gets the time, and the schema `simulation`, which comes before
  `pg_catalog` in the search path, has its own `now()`, `clock_timestamp()` and so on.
- Notifications are read by an empty statement on the listening connections, after each transaction that has added
  to an outbox.
- A killed process's sessions have ended before anything else happens.
"""

import asyncio
import re
import socket
import struct
import time as real_time
from collections.abc import Callable, Iterator
from typing import Any, cast

from tools.devstack.servers.postgres import Postgres
from tools.lab.simulation.machine.loop import Process, SimulationLoop, current_process, wall_time
from tools.lab.simulation.machine.network import Network

PATIENCE_S = 0.002
"""How long an answer is awaited before we look whether the statement waits for a lock."""
NOTIFICATION = ord("A")
SLOW_S = 8.0
"""The longest time that a slow statement takes."""
SENT_SHARE = 0.5
"""How often what a killed process has sent last arrives."""
NOTIFIES = "INTO outbox"
"""What a statement contains that may notify a relay."""
READY = ord("Z")
DESCRIBED = b"TnE"
"""What ends the answer to a batch that describes a statement."""
FLUSH = b"H\0\0\0\4"
CANCEL = 80877102

SCHEMA = """
CREATE SCHEMA simulation;
CREATE FUNCTION simulation.now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$SELECT coalesce(nullif(current_setting('simulation.began', true), '')::timestamptz, pg_catalog.now())$$;
CREATE FUNCTION simulation.transaction_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$SELECT simulation.now()$$;
CREATE FUNCTION simulation.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS $$
    SELECT coalesce(nullif(current_setting('simulation.clock', true), '')::timestamptz, pg_catalog.clock_timestamp())$$;
CREATE FUNCTION simulation.statement_timestamp() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$SELECT simulation.clock_timestamp()$$;
CREATE FUNCTION simulation.gen_random_uuid() RETURNS uuid LANGUAGE sql VOLATILE AS $$
    SELECT md5(random()::text || random()::text || current_setting('simulation.clock', true))::uuid$$;
"""
"""`CURRENT_TIMESTAMP` cannot be replaced: no statement may use it."""
SEARCH_PATH = "public, simulation, pg_catalog"
EMPTY = """
SELECT coalesce(string_agg(format('%I.%I', nspname, relname), ', '), '') FROM pg_class
JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p') AND nspname IN ('public', 'simulation') AND relname <> 'alembic_version'
    AND (relkind = 'p' OR pg_relation_size(pg_class.oid) > 0) AND NOT relispartition
"""


class SimulationPostgres(Postgres):
    """The server of simulations: on a Unix socket in its own folder, and without anything that acts by itself."""

    def _settings(self) -> list[str]:
        own = {
            "unix_socket_directories": str(self.data),
            "listen_addresses": "",
            "autovacuum": "off",
            "synchronous_commit": "off",
            "deadlock_timeout": "1h",
            "jit": "off",
            "max_connections": "400",
            "bgwriter_delay": "10s",
            "checkpoint_timeout": "1h",
            "max_parallel_workers_per_gather": "0",
            "log_min_messages": "fatal",
            "log_min_error_statement": "panic",
        }
        return [*super()._settings(), *(part for key, value in own.items() for part in ("-c", f"{key}={value}"))]

    def _take_password(self) -> None:
        (self.data / "pg_hba.conf").write_text("local all all trust\n")  # its folder is private

    @property
    def socket(self) -> str:
        """The path of its socket."""
        return f"{self.data}/.s.PGSQL.{self.port}"

    def database_url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.data}&port={self.port}"


class ServerError(Exception):
    """Postgres has refused a statement of the simulator itself."""


def packed(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("!i", len(content) + 4) + content


def query(statement: str) -> bytes:
    return packed(b"Q", statement.encode() + b"\0")


def messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the kind and the whole of each complete message."""
    at = 0
    while at + 5 <= len(data):
        end = at + 1 + int.from_bytes(data[at + 1 : at + 5], "big")
        if end > len(data):
            return
        yield data[at], data[at:end]
        at = end


FAILING = query("DO $$BEGIN RAISE 'out of memory' USING ERRCODE = '53200'; END$$")
"""Stands for a statement that the server cannot execute now."""


class Session:
    """A connection to the server that blocks: of the simulator itself, or below that of a simulated process."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.received = b""
        self.pid = 0
        self.status = b"I"

    @classmethod
    def open(cls, path: str, database: str) -> "Session":
        session = cls(path)
        parameters = b"user\0postgres\0database\0" + database.encode() + b"\0\0"
        session.socket.sendall(struct.pack("!ii", len(parameters) + 8, 196608) + parameters)
        session.read_until_ready()
        return session

    def read_until_ready(self) -> bytes:
        answer = b""
        while True:
            for kind, message in messages(self.received):
                self.received = self.received[len(message) :]
                answer += message
                if kind == ord("K"):
                    self.pid = int.from_bytes(message[5:9], "big")
                if kind == READY:
                    self.status = message[5:6]
                    return answer
            piece = self.socket.recv(1 << 16)
            if not piece:
                raise ServerError(f"the server has closed the connection: {answer!r}")
            self.received += piece

    def fetch(self, statement: str) -> list[list[str | None]]:
        """Return the rows of a statement, as text."""
        self.socket.sendall(query(statement))
        rows: list[list[str | None]] = []
        error = b""
        for kind, message in messages(self.read_until_ready()):
            if kind == ord("D"):
                rows.append(_columns(message))
            elif kind == ord("E"):
                error = message
        if error:
            raise ServerError(f"{error[5:].decode(errors='replace')}: {statement}")
        return rows

    def value(self, statement: str) -> str | None:
        return self.fetch(statement)[0][0]

    def close(self) -> None:
        self.socket.close()


def _columns(message: bytes) -> list[str | None]:
    values: list[str | None] = []
    at = 7
    for _ in range(int.from_bytes(message[5:7], "big")):
        size = struct.unpack("!i", message[at : at + 4])[0]
        at += 4
        values.append(None if size < 0 else message[at : at + size].decode())
        at += max(0, size)
    return values


class Statements:
    """Decides what happens to a batch of messages on its way. A simulation replaces it."""

    def fate(self, connection: "PostgresTransport", sql: str) -> str:  # noqa: ARG002
        """Return `""`, `lost before`, `fails`, `lost after` or `slow`."""
        return ""


class PostgresWorld:
    """The server as the processes of one simulation see it."""

    def __init__(self, loop: SimulationLoop, network: Network, path: str) -> None:
        self.loop = loop
        self.network = network
        self.path = path
        self.monitor = Session.open(path, "postgres")
        self.statements = Statements()
        self.connections: list[PostgresTransport] = []
        self.count = 0
        self.is_away = False
        """Whether new connections are refused."""
        network.to_postgres = self.connect

    def connect(self, factory: Callable[[], Any], path: str) -> Any:
        if self.is_away or path != self.path:
            raise ConnectionRefusedError(111, "connection refused: postgres")
        transport = PostgresTransport(self, current_process.get(), factory())
        self.connections.append(transport)
        transport.protocol.connection_made(transport)
        return transport, transport.protocol

    def is_blocked(self, pid: int) -> bool:
        """Return whether a session waits for a lock that another one holds."""
        return self.monitor.value(f"SELECT cardinality(pg_blocking_pids({pid})) > 0") == "t"

    def end(self, pid: int) -> None:
        """End a session, and return when it has released everything."""
        self.monitor.fetch(f"SELECT pg_terminate_backend({pid})")
        while self.monitor.value(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}") != "0":
            real_time.sleep(0.0002)

    def cancelled(self, pid: int) -> None:
        """The server has signalled a session, as a cancel request asked."""
        for each in list(self.connections):
            if each.pid == pid:
                each.cancel()

    def changed(self, database: str, *, notifies: bool) -> None:
        """A transaction may have ended: read notifications, and see which waiting statements go on."""
        for each in list(self.connections) if notifies else ():
            if each.listens and each.database == database:
                each.take_notifications()
        progress = True
        while progress:
            progress = any(each.look_again() for each in list(self.connections) if each.is_pending)


class PostgresTransport(asyncio.Transport):
    """One connection of a simulated process. Its protocol is asyncpg's."""

    def __init__(self, world: PostgresWorld, process: Process, protocol: Any) -> None:
        super().__init__({"peername": world.path, "sockname": ""})
        self.world = world
        self.process = process
        self.protocol = protocol
        self.database = ""
        self.listens = False
        self.is_pending = False
        """Whether a statement waits for a lock."""
        self.context = process.context.copy()
        self.sql: dict[bytes, str] = {}
        self._session = Session(world.path)
        self._is_open, self._is_closing, self._is_gone = True, False, False
        self._out = b""
        self._started = self._is_ready = False
        self._reply = b""
        self._skips = 0
        self._may_notify = False
        self._flushes = self._is_amid = False
        """Whether this batch ends, and the last one ended, before the server is ready for a query."""
        self._breaks_after = False
        self._in_flight = b""
        self._delayed: asyncio.TimerHandle | None = None
        process.closing.append(self.vanish)

    @property
    def pid(self) -> int:
        """The number of its session's process; 0 until it is known."""
        return self._session.pid

    # -- the transport

    def write(self, data: Any) -> None:
        if not self._is_open or self._is_closing:
            return
        self._out += bytes(data)
        while (batch := self._next_batch()) is not None:
            self._in_flight = batch
            self.world.loop.call_later(self.world.network.latency(), self._exchange, batch, context=self.context)

    def writelines(self, list_of_data: Any) -> None:
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self.world.loop.call_soon(self._lost, None, context=self.context)

    abort = close

    def is_closing(self) -> bool:
        return self._is_closing

    def can_write_eof(self) -> bool:
        return False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return cast("asyncio.BaseProtocol", self.protocol)

    def pause_reading(self) -> None:
        """Answers are small."""

    def resume_reading(self) -> None:
        """Answers are small."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered here."""

    def get_write_buffer_size(self) -> int:
        return 0

    def vanish(self) -> None:
        """The process was killed: its session ends. What it has sent last may still take effect."""
        self._is_open, self._is_closing = False, True
        if self._in_flight and self._is_ready and not self._is_gone and self.world.loop.random.random() < SENT_SHARE:
            self._send(self._in_flight)
        self._end()

    # -- exchanges

    def _next_batch(self) -> bytes | None:
        """Return the messages up to the first after which the server answers."""
        if not self._started:
            if len(self._out) < 8 or len(self._out) < (size := int.from_bytes(self._out[:4], "big")):
                return None
            batch, self._out = self._out[:size], self._out[size:]
            self._started = True
            parts = batch[8:].split(b"\0")
            if b"database" in parts:
                self.database = parts[parts.index(b"database") + 1].decode()
            return batch
        end = 0
        for kind, message in messages(self._out):
            end += len(message)
            if kind in b"SQHpXcf":
                batch, self._out = self._out[:end], self._out[end:]
                return batch
        return None

    def _exchange(self, batch: bytes) -> None:
        if self._is_gone or not self._is_open:
            return
        world = self.world
        if batch[:1] == b"X":
            return  # the transport is closed next, which ends the session
        if not self._is_ready:
            self._talk(batch)
            if int.from_bytes(batch[4:8], "big") == CANCEL:
                world.cancelled(int.from_bytes(batch[8:12], "big"))
            return
        world.count += 1
        sql = self._sql_of(batch)
        if "listen" in sql[:8].lower():
            self.listens = True
        self._may_notify = self._may_notify or NOTIFIES in sql
        fate = world.statements.fate(self, sql)
        if fate == "lost before":
            self.break_off()
        elif fate == "slow":
            delay_s = world.loop.random.random() * SLOW_S
            self._delayed = world.loop.call_later(delay_s, self._send, batch, context=self.context)
        else:
            self._breaks_after = fate == "lost after"
            may_fail = self._session.status != b"E" and not batch.endswith(FLUSH) and not _is_control(sql)
            self._send(FAILING if fate == "fails" and may_fail else batch)

    def cancel(self) -> None:
        """A cancel request has arrived. A statement that waits for a lock has ended when this returns."""
        if self._delayed is not None and not self._delayed.cancelled():
            self._delayed.cancel()
            batch = self._in_flight
            self._send(batch if batch.endswith(FLUSH) or _is_control(self._sql_of(batch)) else FAILING)
        while self.is_pending and not self.look_again():
            real_time.sleep(0.0005)

    def _send(self, batch: bytes) -> None:
        self._in_flight, self._delayed = b"", None
        if self._is_gone:
            return
        world = self.world
        self._skips, self._flushes = 0, batch.endswith(FLUSH)
        if self._session.status != b"E" and not self._is_amid:
            now = f"{wall_time(world.loop.now).isoformat()}"
            began = f"SET simulation.began = '{now}';" if self._session.status == b"I" else ""
            batch = query(f"{began}SET simulation.clock = '{now}'") + batch
            self._skips = 1
        self._talk(batch)

    def _talk(self, batch: bytes) -> None:
        try:
            self._session.socket.sendall(batch)
        except OSError:
            self.break_off()
            return
        self._reply, self.is_pending = b"", True
        self.look_again()

    def look_again(self) -> bool:
        """Read the answer as far as it is there. Returns whether the exchange has ended."""
        session, world = self._session, self.world
        while self.is_pending:
            if self._take_messages():
                self.is_pending = False
                self._deliver()
                return True
            session.socket.settimeout(PATIENCE_S)
            try:
                piece = session.socket.recv(1 << 16)
            except TimeoutError:
                if session.pid and world.is_blocked(session.pid):
                    return False
                continue
            except OSError:
                piece = b""
            finally:
                session.socket.settimeout(None)
            if not piece:
                self.is_pending = False
                self._deliver(ends=True)
                return True
            session.received += piece
        return False

    def _take_messages(self) -> bool:
        """Take what has arrived of the answer. Returns whether it is complete."""
        session = self._session
        for kind, message in messages(session.received):
            session.received = session.received[len(message) :]
            if kind == NOTIFICATION:
                self._notify(message)
                continue
            if kind == ord("K"):
                session.pid = int.from_bytes(message[5:9], "big")
            if kind == READY:
                session.status = message[5:6]
            if self._skips:
                self._skips -= kind == READY
                continue
            self._reply += message
            if kind == READY or (self._flushes and kind in DESCRIBED):
                self._is_amid = kind != READY
                return True
            if not self._is_ready and (kind == ord("E") or (kind == ord("R") and message[5:9] not in _NO_REPLY)):
                return True
        return False

    def _deliver(self, *, ends: bool = False) -> None:
        world, reply, self._reply = self.world, self._reply, b""
        was_ready, self._is_ready = self._is_ready, self._session.pid != 0
        if not was_ready and self._is_ready:
            self._session.socket.sendall(query(f"SET seed TO {world.loop.random.random():.6f}"))
            self._session.read_until_ready()
        if ends or self._breaks_after:
            self.break_off()
        elif reply:
            world.loop.call_later(world.network.latency(), self._receive, reply, context=self.context)
        if was_ready and self._session.status == b"I" and not self._is_amid:
            world.changed(self.database, notifies=self._may_notify)
            self._may_notify = False

    def _receive(self, reply: bytes) -> None:
        if self._is_open:
            self.protocol.data_received(reply)

    def _notify(self, message: bytes) -> None:
        self.world.loop.call_later(self.world.network.latency(), self._receive, message, context=self.context)

    def take_notifications(self) -> None:
        """Read the notifications of transactions that have committed."""
        if self._is_gone or self.is_pending or self._is_amid or self._session.status != b"I":
            return
        self._session.socket.sendall(query(""))
        for kind, message in messages(self._session.read_until_ready()):
            if kind == NOTIFICATION:
                self._notify(message)

    # -- its end

    def break_off(self) -> None:
        """Break the connection: the server rolls back, and the process gets an error."""
        if self._is_open:
            self._end()
            self._is_closing = True
            error = ConnectionResetError("connection to postgres lost")
            self.world.loop.call_later(self.world.network.latency(), self._lost, error, context=self.context)

    def _end(self) -> None:
        if self._is_gone:
            return
        self._is_gone, self.is_pending = True, False
        if self in self.world.connections:
            self.world.connections.remove(self)
        self._session.close()
        if self._session.pid:
            self.world.end(self._session.pid)
            self.world.changed(self.database, notifies=self._may_notify)

    def _lost(self, error: Exception | None) -> None:
        if self._is_open:
            self._is_open = False
            if self.vanish in self.process.closing:
                self.process.closing.remove(self.vanish)
            self._end()
            self.protocol.connection_lost(error)

    def _sql_of(self, batch: bytes) -> str:
        """Return the text of the statement in a batch, as far as it is known: of a prepared one, that of its name."""
        found = ""
        for kind, message in messages(batch):
            content = message[5:]
            if kind == ord("Q"):
                found = content[:-1].decode(errors="replace")
            elif kind == ord("P"):
                name, _, rest = content.partition(b"\0")
                found = self.sql[name] = rest.partition(b"\0")[0].decode(errors="replace")
            elif kind == ord("B"):
                found = self.sql.get(content.partition(b"\0")[2].partition(b"\0")[0], found)
        return re.sub(r"\s+", " ", found).strip()


_NO_REPLY = (struct.pack("!i", 0), struct.pack("!i", 12))
"""Authentication messages that the client does not answer: it is authenticated, or the exchange is final."""


def _is_control(sql: str) -> bool:
    """Return whether a statement begins or ends a transaction: if it failed, its transaction would stay."""
    return sql.startswith(("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE"))


def new_database(path: str, name: str, template: str | None = None) -> None:
    """Create a database with virtual time. Without a template it has no tables."""
    with_session(path, "postgres", f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    source = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""
    with_session(path, "postgres", f'CREATE DATABASE "{name}"{source}')
    with_session(path, "postgres", f'ALTER DATABASE "{name}" SET search_path TO {SEARCH_PATH}')
    if template is None:
        with_session(path, name, SCHEMA)


def empty(path: str, name: str) -> None:
    """End all sessions of a database, and remove its rows."""
    session = Session.open(path, name)
    others = f"FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    session.fetch(f"SELECT pg_terminate_backend(pid) {others}")
    while session.value(f"SELECT count(*) {others}") != "0":
        real_time.sleep(0.001)
    if tables := session.value(EMPTY):
        session.fetch(f"TRUNCATE {tables} RESTART IDENTITY CASCADE")
    session.close()


def with_session(path: str, database: str, statement: str) -> list[list[str | None]]:
    """Run a statement on a connection of its own."""
    session = Session.open(path, database)
    try:
        return session.fetch(statement)
    finally:
        session.close()
