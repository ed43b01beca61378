"""Request bodies that pause until a test lets them continue."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import httpx


class HeldBody:
    """Sends `first`, and `rest` once `go_on` is set. `begun` is set when the server asks for the rest."""

    def __init__(self, first: bytes, rest: bytes) -> None:
        self._first, self._rest = first, rest
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._first
        self.begun.set()
        await self.go_on.wait()
        yield self._rest

    async def under_way(self, request: Coroutine[Any, Any, httpx.Response]) -> asyncio.Task[httpx.Response]:
        """Start a request with this body, and return once the server reads the body or has answered."""
        answer, begun = asyncio.create_task(request), asyncio.create_task(self.begun.wait())
        await asyncio.wait((answer, begun), return_when=asyncio.FIRST_COMPLETED)
        begun.cancel()
        return answer
