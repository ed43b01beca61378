"""The services' own OpenAPI documents, fetched in the background and kept while a service is down."""

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec

from services.gateway.openapi.merge import merge
from services.gateway.panels import Service
from services.gateway.proxy.operations import OPERATIONS
from services.gateway.settings import Tuning
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import UpstreamFailed
from shared.observability.logs import get_logger

log = get_logger(__name__)

MAX_BYTES = 4 * 1024 * 1024
"""A larger document is refused."""


class Documents:
    """The document of each service; services that have not been reached are absent."""

    def __init__(self, upstreams: Mapping[Service, Upstream], tuning: Tuning) -> None:
        self._upstreams = upstreams
        self._tuning = tuning
        self.by_service: dict[Service, dict[str, Any]] = {}
        self.version = 0
        """Increases with every fetch."""

    async def keep_fresh(self) -> None:
        """Fetch periodically, sooner while one is missing. Runs until cancelled."""
        while True:
            async with asyncio.TaskGroup() as tasks:
                for service in self._upstreams:
                    tasks.create_task(self._fetch(service))
            complete = self.by_service.keys() == self._upstreams.keys()
            await asyncio.sleep(self._tuning.openapi_refresh_s if complete else self._tuning.openapi_retry_s)

    async def _fetch(self, service: Service) -> None:
        try:
            async with asyncio.timeout(self._tuning.openapi_timeout_s):
                body = await self._upstreams[service].openapi(MAX_BYTES)
        except (UpstreamFailed, TimeoutError) as failure:
            log.debug("OpenAPI document cannot be fetched", service=service, reason=repr(failure))
            return
        try:
            self.by_service[service] = usable(body, service)
            self.version += 1
        except Exception as broken:  # reading or merging an unexpected document may raise anything
            log.warning("OpenAPI document is unusable", service=service, reason=repr(broken))


def usable(body: bytes, service: Service) -> dict[str, Any]:
    """Return the document, or raise if it cannot be merged into that of the whole API."""
    document = msgspec.json.decode(body, type=dict[str, Any])
    own: dict[str, Any] = {"info": {}, "paths": {}}
    msgspec.json.encode(merge(own, OPERATIONS, {service: document}))
    return document
