"""Deletes old rows of the ledger and of the mails."""

from functools import partial

from services.worker.jobs import job
from services.worker.ledger.external_effects import RepeatableWork
from services.worker.ledger.pruner import EVERY_MINUTE, purge_all
from services.worker.settings import Settings
from shared.contracts.tasks import Tick
from shared.db.engine import Database


@job(name="purge", cron=EVERY_MINUTE, missed="skip", concurrency=1)
async def purge(_tick: Tick, db: Database, settings: Settings) -> RepeatableWork:
    return RepeatableWork(partial(purge_all, db, settings.keep_done_s))
