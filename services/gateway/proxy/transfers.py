"""Report downloads, which end with the session of their caller."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from services.gateway.proxy.forward import ResponseCutOff
from shared.http.identity import Caller


class Transfers:
    def __init__(self) -> None:
        self._ends: dict[asyncio.Timeout, Caller] = {}

    @asynccontextmanager
    async def of(self, caller: Caller) -> AsyncIterator[None]:
        """Raises `ResponseCutOff` if the caller's session ends within the block."""
        end = asyncio.timeout(None)
        try:
            async with end:
                self._ends[end] = caller
                yield
        except TimeoutError as error:
            if not end.expired():
                raise
            raise ResponseCutOff("the session has ended") from error
        finally:
            self._ends.pop(end, None)

    def end(self, has_ended: Callable[[Caller], bool]) -> None:
        """Break off the downloads of callers whose session has ended."""
        for end in [end for end, caller in self._ends.items() if has_ended(caller)]:
            del self._ends[end]
            end.reschedule(asyncio.get_running_loop().time())
