"""Runs imports next to the worker's other tasks.

The table is the queue, and a lease is the right to run one import: no message or transaction is held for the duration
of an import, and if a worker is killed, another continues at the checkpoint.

Chunks of the file become batches of orders, and each is followed by a checkpoint. A few batches are at the orders
service at once; checkpoints are written in the order of the file. Rows after the last checkpoint may have been placed
when the worker is killed: they are placed again, and the references make that harmless.

A turn is at least one chunk. When it is over, batches that are already at the orders service are still recorded.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing, suppress
from logging import DEBUG, INFO

import structlog

from services.worker import metrics
from services.worker.imports.leases import Lease, LeaseLost, LineError, Step, file_key, offset_of
from services.worker.imports.orders import Orders
from services.worker.imports.repository import ProgressPublisher
from services.worker.imports.settings import ImportSettings, ImportTuning
from services.worker.imports.storage import Chunk, FileGone, Storage, StorageUnavailable, chunks
from services.worker.ledger.job import CANCEL_S, Permanent, Transient, storable
from services.worker.live_hints import Hints
from shared.contracts.imports import CsvRow
from shared.db.engine import Database, is_outage
from shared.observability.logs import get_logger
from shared.server.background import to_the_end

log = get_logger(__name__)

MAX_REFERENCE = 200
MAX_FAILURES = 8
"""Consecutive failures that are not outages, after which the import fails."""
PAUSE_BASE_S, PAUSE_CAP_S = 1.0, 30.0


class ImportRun:
    """`on_turn_over` is called as soon as another import may be started instead of this one."""

    def __init__(
        self,
        lease: Lease,
        storage: Storage,
        orders: Orders,
        keep_s: float,
        tuning: ImportTuning,
        publisher: ProgressPublisher,
        on_turn_over: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._storage = storage
        self._orders = orders
        self._keep_s = keep_s
        self._tuning = tuning
        self._publisher = publisher
        self._on_turn_over = on_turn_over
        self._began = time.monotonic()
        self._rows = 0

    async def run(self, stopping: asyncio.Event) -> None:
        """Run to the end of the file, or to a checkpoint when the turn is over, the user cancels it or the process
        shuts down.

        Raises `LeaseLost`, and the reason why it could not continue.
        """
        at_end = self._cancelled or await self._all_chunks(stopping)
        if self._cancelled:
            await self._finish("cancelled")
        elif at_end:
            await self._finish("completed")
        else:
            await self._lease.let_go(0)

    @property
    def _cancelled(self) -> bool:
        return bool(self._lease.row["cancel_requested"])

    async def _finish(self, state: str) -> None:
        await self._lease.finish(state, None, self._keep_s)
        metrics.IMPORTS.labels(state).inc()
        await self._publisher.tell(self._lease.row)

    async def _all_chunks(self, stopping: asyncio.Event) -> bool:
        """Whether the end of the file was reached."""
        row = self._lease.row
        steps: deque[asyncio.Task[Step]] = deque()
        try:
            async with aclosing(chunks(self._storage, file_key(row["id"]), row["bytes"], offset_of(row))) as found:
                async for chunk in found:
                    steps.append(asyncio.create_task(self._place(chunk)))
                    if len(steps) >= self._tuning.import_window:
                        await self._record(await steps.popleft())
                    if stopping.is_set() or self._cancelled or self._lease.is_over:
                        break
            if self._lease.is_over:
                self._on_turn_over()
            while steps:
                await self._record(await steps.popleft())
        finally:
            for step in steps:
                step.cancel()
            await asyncio.gather(*steps, return_exceptions=True)
        return bool(self._lease.row["next_offset"] >= row["bytes"])

    async def _place(self, chunk: Chunk) -> Step:
        row = self._lease.row
        rows: list[tuple[int, CsvRow]] = []
        errors: list[LineError] = []
        for record in chunk.records:
            if record.problem is None:
                rows.append((record.line, record.cells))
            else:
                errors.append(LineError(record.line, "row", "", record.problem))
        if not rows:
            return Step(chunk.end, 0, 0, len(errors), errors)
        outcome = await self._orders.place(row["user_id"], row["id"], [cells for _, cells in rows])
        for error in outcome.errors:
            line, cells = rows[error.row]
            errors.append(LineError(line, error.field, storable(cells[0], MAX_REFERENCE), error.message))
        done = outcome.created + outcome.repeated
        return Step(chunk.end, done, outcome.repeated, len(chunk.records) - done, errors)

    async def _record(self, step: Step) -> None:
        self._rows += step.done + step.failed
        rows_per_s = self._rows / max(time.monotonic() - self._began, 0.001)
        await self._lease.record(step, rows_per_s, self._tuning.import_max_errors)
        metrics.IMPORT_ROWS.labels("created").inc(step.done - step.repeated)
        metrics.IMPORT_ROWS.labels("repeated").inc(step.repeated)
        metrics.IMPORT_ROWS.labels("failed").inc(step.failed)
        await self._publisher.tell(self._lease.row)


class Importer:
    def __init__(
        self,
        db: Database,
        storage: Storage,
        orders: Orders,
        hints: Hints,
        settings: ImportSettings,
        tuning: ImportTuning,
        interval_s: float,
    ) -> None:
        """`interval_s` is the interval of polling."""
        self._db = db
        self._storage = storage
        self._orders = orders
        self._hints = hints
        self._settings = settings
        self._tuning = tuning
        self._interval_s = interval_s
        self._wakeup = asyncio.Event()
        self._stopping = asyncio.Event()
        self._under_way: dict[asyncio.Task[None], Lease] = {}

    def wake(self) -> None:
        """Signal that there is something to import; otherwise it is found by polling."""
        self._wakeup.set()

    async def run(self) -> None:
        """Run until cancelled; running imports then stop at their next checkpoint. Raises if the database is down."""
        self._stopping.clear()
        try:
            while True:
                self._wakeup.clear()
                await self._take_all()
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._interval_s):
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
            publisher = ProgressPublisher(self._hints)
            try:
                import_run = ImportRun(
                    lease, self._storage, self._orders, self._tuning.import_keep_s, self._tuning, publisher, self.wake
                )
                await import_run.run(self._stopping)
            except LeaseLost:
                log.info("import dropped: another worker has it, or it was deleted")
            except Exception as error:
                await self._fail(lease, error, publisher)
            else:
                level = DEBUG if lease.is_over else INFO
                log.log(level, "import released", state=lease.row["state"], line=lease.row["next_line"])

    async def _fail(self, lease: Lease, error: Exception, publisher: ProgressPublisher) -> None:
        """End or release the import. If that cannot be written, the lease expires."""
        failures = lease.row["failures"] + 1
        metrics.IMPORT_INTERRUPTIONS.inc()
        log.warning("import interrupted", error=repr(error), failures=failures, exc_info=_defect(error))
        try:
            if is_hopeless(error, failures):
                await lease.finish("failed", explanation(error), self._tuning.import_keep_s)
                metrics.IMPORTS.labels("failed").inc()
                await publisher.tell(lease.row)
            else:
                await lease.let_go(pause_s(failures), explanation(error))
        except LeaseLost:
            pass
        except Exception as outage:
            if not is_outage(outage):
                raise
            log.warning("outcome not recorded; the lease will expire", error=repr(outage))


def is_hopeless(error: Exception, failures: int) -> bool:
    """Outages are waited for without a limit; the user may cancel."""
    if isinstance(error, Permanent | FileGone):
        return True
    return _defect(error) and failures >= MAX_FAILURES


def _defect(error: Exception) -> bool:
    return not (isinstance(error, Transient | Permanent | FileGone | StorageUnavailable) or is_outage(error))


def explanation(error: Exception) -> str:
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
