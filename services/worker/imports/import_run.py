"""Runs one import: chunks of the file become batches of orders, and each is followed by a checkpoint.

A few batches are at the orders service at once; checkpoints are written in the order of the file. Rows after the last
checkpoint may have been placed when the worker is killed: they are placed again, and the references make that harmless.

A turn is at least one chunk. When it is over, batches that are already at the orders service are still recorded.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import aclosing

from services.worker import metrics
from services.worker.imports.leases import Lease, LineError, Step, file_key, offset_of
from services.worker.imports.orders import Orders
from services.worker.imports.progress import ProgressPublisher
from services.worker.imports.storage import Chunk, Storage, chunks
from services.worker.ledger.job_message import storable
from services.worker.tuning import Tuning
from shared.contracts.imports import CsvRow

MAX_REFERENCE = 200


class ImportRun:
    """`on_turn_over` is called as soon as another import may be started instead of this one."""

    def __init__(
        self,
        lease: Lease,
        storage: Storage,
        orders: Orders,
        keep_s: float,
        tuning: Tuning,
        teller: ProgressPublisher,
        on_turn_over: Callable[[], None],
    ) -> None:
        self._lease = lease
        self._storage = storage
        self._orders = orders
        self._keep_s = keep_s
        self._tuning = tuning
        self._teller = teller
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
        await self._teller.tell(self._lease.row)

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
        await self._teller.tell(self._lease.row)
