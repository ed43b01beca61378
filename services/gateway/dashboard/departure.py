"""Notices that a client has gone away while its answer is being prepared."""

import asyncio
from collections.abc import Callable

from starlette.types import Receive


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


class Departure:
    """Listens to one client, from `watch` to `end`. A task of its own, so meant for answers that take long."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._listening: asyncio.Task[None] | None = None

    def watch(self, gone: Callable[[], None]) -> None:
        """Call `gone` when the client leaves."""
        self._listening = asyncio.create_task(self._listen(gone))

    def end(self) -> None:
        """The task is let go: a cancelled one refers to its frame, which refers to this."""
        if self._listening:
            self._listening.cancel()
            self._listening = None

    async def _listen(self, gone: Callable[[], None]) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        gone()
