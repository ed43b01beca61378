"""Wakes the importer when an upload has queued a file; `services.worker.imports` runs the import."""

from services.worker.imports.importer import Importer
from services.worker.jobs import job
from shared.contracts.events import ImportRequested


@job(name="imports", on=ImportRequested, ends_with_user=True)
async def wake_importer(_event: ImportRequested, importer: Importer) -> None:
    importer.wake()
