"""A primary Postgres and its streaming replica on this machine."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import wait_until
from tools.devstack.servers.postgres import Postgres, binary
from tools.devstack.system.databases import execute, fetch
from tools.devstack.system.processes import Processes

REPLICATION = "host replication postgres 127.0.0.1/32 trust\n"
ANY_STANDBY = "ALTER SYSTEM SET synchronous_standby_names = '*'"
NO_STANDBY = "ALTER SYSTEM SET synchronous_standby_names = ''"
RELOAD = "SELECT pg_reload_conf()"


class Replicated(Postgres):
    """A server that is a primary or a standby."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        super().__init__(processes, folder, folder.with_suffix(".log"))
        self.name = folder.name

    def clone(self, primary: "Replicated") -> None:
        """Make this server a standby of the primary; its own data is deleted."""
        self._prepare()
        shutil.rmtree(self.data)
        argv = [str(binary("pg_basebackup")), "-h", "127.0.0.1", "-p", str(primary.port), "-U", "postgres"]
        argv += ["-D", str(self.data), "-R", "-X", "stream", "-c", "fast"]
        self.data.mkdir(mode=0o700)
        if self._user is not None:
            shutil.chown(self.data, self._user)
        code = self.processes.run("pg_basebackup", argv, log=self.log, cwd=self.data, user=self._user)
        assert code == 0, self.log.read_text()

    def promote(self) -> None:
        """Make this server the primary, without a standby."""
        execute(self.url, "SELECT pg_promote(true, 60)", NO_STANDBY, RELOAD)

    def standbys(self) -> list[str]:
        """Return how each of its standbys follows: `sync` or `async`."""
        rows = fetch(self.url, "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming'")
        return [row["sync_state"] for row in rows]

    def wait_for_standbys(self, *, synchronous: bool) -> None:
        """Wait for the standbys. With `synchronous`, a later commit is confirmed when a standby has written it to
        disk."""
        wait_until(self.standbys)
        if synchronous:
            execute(self.url, ANY_STANDBY, RELOAD)
            wait_until(lambda: "sync" in self.standbys())

    def _settings(self) -> list[str]:
        return [*super()._settings(), "-c", "wal_keep_size=256MB", "-c", f"cluster_name={self.name}"]

    def _prepare(self) -> None:
        super()._prepare()
        access = self.data / "pg_hba.conf"
        if REPLICATION not in access.read_text():
            with access.open("a") as file:
                file.write(REPLICATION)


class Pair:
    def __init__(self, primary: Replicated, standby: Replicated) -> None:
        self.primary, self.standby = primary, standby

    @property
    def url(self) -> str:
        """The URL of the current primary."""
        return self.primary.url

    @property
    def urls(self) -> str:
        """Both hosts in one URL."""
        ports = (self.primary.port, self.standby.port)
        return f"postgresql://postgres@{','.join(f'127.0.0.1:{port}' for port in ports)}/postgres"

    def fail_over(self) -> None:
        """Promote the standby after the primary has failed."""
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary

    def rejoin(self, *, synchronous: bool) -> None:
        """Start the lost server again, as the standby."""
        self.standby.clone(self.primary)
        self.standby.start()
        self.primary.wait_for_standbys(synchronous=synchronous)


@contextmanager
def running_pair(folder: Path, processes: Processes, *, synchronous: bool) -> Iterator[Pair]:
    folder.mkdir(parents=True)
    pair = Pair(*(Replicated(processes, folder / f"postgres-{number}") for number in (1, 2)))
    try:
        pair.primary.start()
        pair.rejoin(synchronous=synchronous)
        yield pair
    finally:
        pair.standby.stop()
        pair.primary.stop()
