"""So many at once; those who wait get their turn user by user, however many of them are one user's."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from shared.pools import Line


class Turns:
    """Within one user, who came first is first."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self.line = Line()
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}
        """By user; the user whose turn is next is first."""

    @asynccontextmanager
    async def turn(self, user_id: UUID) -> AsyncIterator[None]:
        """Waits for a place, and holds it during the block."""
        if self.taken < self.places:
            self.taken += 1
        else:
            with self.line:
                await self._wait(user_id)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, user_id: UUID) -> None:
        """Until this waiter is given the place of another."""
        given = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give the place to the next who still waits; it is free when there is none."""
        while self._waiting:
            user_id = next(iter(self._waiting))
            waiters = self._waiting.pop(user_id)
            given = waiters.popleft()
            if waiters:
                self._waiting[user_id] = waiters  # behind the others
            if not given.done():
                given.set_result(None)
                return
        self.taken -= 1
