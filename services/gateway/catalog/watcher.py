"""Reloads the panels file when it changes."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from services.gateway import metrics
from services.gateway.catalog.catalog import Catalog, digest_of
from services.gateway.catalog.document import InvalidPanelsFile
from shared.observability.logs import get_logger

log = get_logger(__name__)

EVERY_S = 1.0
Load = Callable[[], Catalog]
"""Reads the file. Raises `InvalidPanelsFile`."""


class PanelsFileInvalid(Exception):
    """The panels file has changed and cannot be used; the previous one is in force."""


class CatalogWatcher:
    """Compares the content of the file, and of the files that it takes secrets from, because the file that a ConfigMap
    mounts is a symbolic link that is replaced. A broken file leaves the catalog as it is."""

    def __init__(self, catalog: Catalog, load: Load, apply: Callable[[Catalog], Awaitable[None]]) -> None:
        self._load = load
        self._apply = apply
        self._seen = dict(catalog.sources)
        self._failure: str | None = None
        metrics.PANELS_FILE_VALID.set(1)

    async def check(self) -> None:
        """For readiness. Raises `PanelsFileInvalid`."""
        if self._failure:
            raise PanelsFileInvalid(self._failure)

    async def follow(self) -> None:
        """Reload after each change. Runs until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Reload, if anything has changed since the last call."""
        seen = await asyncio.to_thread(_digests, tuple(self._seen))
        if seen == self._seen:
            return
        self._seen = seen
        try:
            catalog = await asyncio.to_thread(self._load)
        except InvalidPanelsFile as invalid:
            self._failure = str(invalid)
            metrics.PANELS_FILE_VALID.set(0)
            log.warning("the panels file is invalid; the previous one stays in force", reason=str(invalid))
            return
        await self._apply(catalog)
        self._seen = dict(catalog.sources)
        self._failure = None
        metrics.PANELS_FILE_VALID.set(1)
        log.info("panels file reloaded", panels=[panel.name for panel in catalog.panels])


def _digests(paths: tuple[Path, ...]) -> dict[Path, str]:
    return {path: digest_of(path) for path in paths}
