"""Wakes the importer when an upload has queued a file, and deletes expired imports with their files."""

from functools import partial

from services.worker.imports.importer import Importer
from services.worker.imports.repository import delete_all_expired
from services.worker.imports.storage import Storage
from services.worker.jobs import job
from services.worker.ledger.external_effects import RepeatableWork
from services.worker.ledger.pruner import EVERY_MINUTE
from shared.contracts.events import ImportRequested
from shared.contracts.tasks import Tick
from shared.db.engine import Database


@job(name="imports", on=ImportRequested, concurrency=1, ends_with_user=True)
async def wake_importer(_event: ImportRequested, importer: Importer) -> None:
    importer.wake()


@job(name="expire-imports", cron=EVERY_MINUTE, missed="skip", concurrency=1)
async def expire_imports(_tick: Tick, db: Database, storage: Storage) -> RepeatableWork:
    return RepeatableWork(partial(delete_all_expired, db, storage))
