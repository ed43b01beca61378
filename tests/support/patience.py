"""Time for a busy machine: what a service waits for its database, and a probe for a dependency, while tests run."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from types import ModuleType
from typing import TypeVar

import pytest

from shared.db import engine, migrations
from shared.downloads import csv_export
from shared.observability import probes
from shared.outbox import publisher

PATIENCE_S = 60.0
T = TypeVar("T")

_TIMEOUTS: dict[ModuleType, tuple[str, ...]] = {
    engine: ("CONNECT_TIMEOUT_S", "ACQUIRE_TIMEOUT_S"),
    csv_export: ("CONNECT_TIMEOUT_S",),
    migrations: ("CONNECT_TIMEOUT_S",),
    probes: ("CHECK_TIMEOUT_S",),
    publisher: ("CONNECT_TIMEOUT_S",),
}


@contextmanager
def patient() -> Iterator[None]:
    """In this block a slow answer is not an outage. What is refused or closed still is, at once."""
    with pytest.MonkeyPatch.context() as patch:
        for module, names in _TIMEOUTS.items():
            for name in names:
                patch.setattr(module, name, PATIENCE_S)
        yield


@asynccontextmanager
async def patiently(opening: AbstractAsyncContextManager[T]) -> AsyncIterator[T]:
    """What is opened with patience, and keeps it: for fixtures that outlive a test."""
    async with AsyncExitStack() as stack:
        with patient():
            opened = await stack.enter_async_context(opening)
        yield opened
