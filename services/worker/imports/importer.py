"""Runs imports next to the worker's other tasks.

The table is the queue, and a lease is the right to run one import: no message or transaction is held for the duration
of an import, and if a worker is killed, another continues at the checkpoint.
"""

import asyncio
import random
from contextlib import suppress
from logging import DEBUG, INFO

import structlog

from services.worker import metrics
from services.worker.errors import Permanent, Transient
from services.worker.imports.import_run import ImportRun
from services.worker.imports.leases import Lease, LeaseLost
from services.worker.imports.orders import Orders
from services.worker.imports.progress import ProgressPublisher
from services.worker.imports.storage import FileGone, Storage, StorageUnavailable
from services.worker.ledger.job import CANCEL_S
from services.worker.live_hints import Hints
from services.worker.settings import Settings
from services.worker.tuning import Tuning
from shared.db.engine import Database, is_outage
from shared.observability.logs import get_logger
from shared.server.background import to_the_end

log = get_logger(__name__)

MAX_FAILURES = 8
"""Consecutive failures that are not outages, after which the import fails."""
PAUSE_BASE_S, PAUSE_CAP_S = 1.0, 30.0


class Importer:
    def __init__(
        self, db: Database, storage: Storage, orders: Orders, hints: Hints, settings: Settings, tuning: Tuning
    ) -> None:
        self._db = db
        self._storage = storage
        self._orders = orders
        self._hints = hints
        self._settings = settings
        self._tuning = tuning
        self._wakeup = asyncio.Event()
        self._stopping = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], Lease] = {}

    def wake(self) -> None:
        """Signal that there is something to import; otherwise it is found by polling, every `sweep_interval_s`."""
        self._wakeup.set()

    async def run(self) -> None:
        """Run until cancelled; running imports then stop at their next checkpoint. Raises if the database is down."""
        self._stopping.clear()
        try:
            while True:
                self._wakeup.clear()
                await self._take_all()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._tuning.sweep_interval_s):
                        await self._wakeup.wait()
        except asyncio.CancelledError:
            self._stopping.set()
            await to_the_end(self._finish())
            raise

    @property
    def _busy(self) -> int:
        """Imports whose turn is not over: the others only wait for batches that are at the orders service."""
        return sum(not lease.is_over for lease in self._under_way.values())

    async def _take_all(self) -> None:
        while self._busy < self._settings.import_concurrency:
            lease = await Lease.take(self._db, self._tuning.import_lease_s)
            if lease is None:
                return
            task = asyncio.create_task(self._carry_out(lease))
            self._under_way[task] = lease
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._wakeup.set()
        if not task.cancelled() and (error := task.exception()):
            log.error("import not released; its lease will expire", error=repr(error), exc_info=error)

    async def _finish(self) -> None:
        if tasks := list(self._under_way):
            await asyncio.wait(tasks, timeout=self._settings.shutdown_grace_s)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks, timeout=CANCEL_S)

    async def _carry_out(self, lease: Lease) -> None:
        row = lease.row
        with structlog.contextvars.bound_contextvars(import_id=str(row["id"])):
            first_turn = row["taken_at"] == row["started_at"]
            log.log(INFO if first_turn else DEBUG, "import started", line=row["next_line"])
            teller = ProgressPublisher(self._hints)
            try:
                carrying = ImportRun(
                    lease, self._storage, self._orders, self._settings.import_keep_s, self._tuning, teller, self.wake
                )
                await carrying.run(self._stopping)
            except LeaseLost:
                log.info("import dropped: another worker has it, or it was deleted")
            except Exception as error:
                await self._fail(lease, error, teller)
            else:
                level = DEBUG if lease.is_over else INFO
                log.log(level, "import released", state=lease.row["state"], line=lease.row["next_line"])

    async def _fail(self, lease: Lease, error: Exception, teller: ProgressPublisher) -> None:
        """End or release the import. If that cannot be written, the lease expires."""
        failures = lease.row["failures"] + 1
        metrics.IMPORT_INTERRUPTIONS.inc()
        log.warning("import interrupted", error=repr(error), failures=failures, exc_info=_defect(error))
        try:
            if is_hopeless(error, failures):
                await lease.finish("failed", told(error), self._settings.import_keep_s)
                metrics.IMPORTS.labels("failed").inc()
                await teller.tell(lease.row)
            else:
                await lease.let_go(pause_s(failures), told(error))
        except LeaseLost:
            pass
        except Exception as outage:
            if not is_outage(outage):
                raise
            log.warning("outcome not recorded; the lease will expire", error=repr(outage))


def is_hopeless(error: Exception, failures: int) -> bool:
    """Outages are waited for without a limit; the user may cancel meanwhile."""
    if isinstance(error, Permanent | FileGone):
        return True
    return _defect(error) and failures >= MAX_FAILURES


def _defect(error: Exception) -> bool:
    return not (isinstance(error, Transient | Permanent | FileGone | StorageUnavailable) or is_outage(error))


def told(error: Exception) -> str:
    """Return the user-facing reason."""
    match error:
        case FileGone():
            return "the uploaded file no longer exists"
        case StorageUnavailable():
            return "the uploaded file cannot be read now"
        case Transient():
            return "the orders service cannot be reached now"
    return "an internal error, which has been logged"


def pause_s(failures: int) -> float:
    return min(PAUSE_CAP_S, PAUSE_BASE_S * 2.0 ** min(failures - 1, 10)) * random.uniform(0.5, 1)
