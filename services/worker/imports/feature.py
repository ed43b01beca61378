"""Imports as a feature of the worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.worker.host import Host
from services.worker.imports.importer import Importer
from services.worker.imports.orders import Orders
from services.worker.imports.routes import router
from services.worker.imports.settings import ImportSettings, ImportTuning
from services.worker.imports.storage import Storage
from services.worker.imports.upload import FORM_BYTES, Uploads
from services.worker.settings import Settings, Tuning
from shared.feature import Feature


def feature(settings: Settings, tuning: Tuning) -> Feature[Host]:
    own = ImportSettings(**dict(settings))

    @asynccontextmanager
    async def opened(host: Host) -> AsyncIterator[None]:
        limits = tuning.of(ImportTuning)
        tokens = host.app.state.service_tokens
        async with Orders.open(own.orders_url, tokens, limits.import_orders_timeout_s) as orders:
            storage = Storage(own.storage_url)
            importer = Importer(host.db, storage, orders, host.hints, own, limits, tuning.sweep_interval_s)
            host.resources.update({Importer: importer, Storage: storage})
            host.background.start("importer", importer.run)
            host.app.state.uploads = Uploads(host.db, storage, own.import_max_bytes)
            host.app.state.import_keep_s = limits.import_keep_s
            host.app.state.checks.useful["storage"] = storage.check
            yield

    return Feature(
        routes=(router,),
        body_limits={router.prefix: own.import_max_bytes + FORM_BYTES},
        open=opened,
    )
