"""The services' own OpenAPI documents, fetched in the background and kept while a service is down."""

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from services.gateway.openapi.merge import merge
from services.gateway.panels import Service
from services.gateway.proxy.operations import Operation
from services.gateway.settings import Tuning
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import UpstreamFailed
from shared.observability.logs import get_logger

log = get_logger(__name__)

MAX_BYTES = 4 * 1024 * 1024
"""A larger document is refused."""


class Documents:
    """The document of each service; services that have not been reached are absent."""

    def __init__(self, upstreams: Mapping[Service, Upstream], operations: Sequence[Operation], tuning: Tuning) -> None:
        self._tuning = tuning
        self.by_service: dict[Service, dict[str, Any]] = {}
        self.version = 0
        """Increases with every new document, and with every change of the catalog."""
        self.use(upstreams, operations)

    def use(self, upstreams: Mapping[Service, Upstream], operations: Sequence[Operation]) -> None:
        """Describe these operations from now on. Only services that have some are fetched."""
        wanted = {operation.service for operation in operations}
        self._upstreams = {name: upstream for name, upstream in upstreams.items() if name in wanted}
        self._operations = tuple(operations)
        self.by_service = {name: found for name, found in self.by_service.items() if name in wanted}
        self.version += 1

    async def keep_fresh(self) -> None:
        """Fetch periodically, sooner while one is missing. Runs until cancelled."""
        while True:
            async with asyncio.TaskGroup() as tasks:
                for service, upstream in self._upstreams.items():
                    tasks.create_task(self._fetch(service, upstream))
            complete = self.by_service.keys() == self._upstreams.keys()
            await asyncio.sleep(self._tuning.openapi_refresh_s if complete else self._tuning.openapi_retry_s)

    async def _fetch(self, service: Service, upstream: Upstream) -> None:
        try:
            async with asyncio.timeout(self._tuning.openapi_timeout_s):
                body = await upstream.openapi(MAX_BYTES)
        except (UpstreamFailed, TimeoutError) as failure:
            log.debug("OpenAPI document cannot be fetched", service=service, reason=repr(failure))
            return
        try:
            found = usable(body, service, self._operations)
        except Exception as broken:  # reading or merging an unexpected document may raise anything
            log.warning("OpenAPI document is unusable", service=service, reason=repr(broken))
            return
        if found is not self.by_service.get(service):
            self.by_service[service] = found
            self.version += 1


@lru_cache(maxsize=16)
def usable(body: bytes, service: Service, operations: tuple[Operation, ...]) -> dict[str, Any]:
    """Return the document, or raise if it cannot be merged into that of the whole API. Nothing changes the returned
    document: a service is asked again and again, and nearly always sends the same one."""
    document = msgspec.json.decode(body, type=dict[str, Any])
    own: dict[str, Any] = {"info": {}, "paths": {}}
    theirs = [operation for operation in operations if operation.service == service]
    msgspec.json.encode(merge(own, theirs, {service: document}))
    return document
