"""Places for downloads and uploads: no account holds what another needs.

An account has at most so many places. When all are taken, an account that holds fewer than another gets one of the
other's: of a transfer that its client keeps waiting, or else, after a while, of an account that holds two more. That
transfer is broken off. So only accounts that each hold a fair share, with fast clients, can keep another from a place.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from starlette.types import Message, Receive, Send

SLOW_S = 1.0
"""A client that takes longer for one piece (64 to 256 KB) keeps its transfer waiting."""
PIECE_BYTES = 64 * 1024
"""Of an upload, which arrives in messages of any size."""
PATIENCE_S = 3.0
"""How long a place is waited for."""
LOOK_AGAIN_S = 0.05


class DownloadSlot:
    """One transfer's. Its block is left when another account gets the place."""

    def __init__(self, user_id: UUID) -> None:
        self.user_id = user_id
        self.end = asyncio.timeout(None)
        self._since: float | None = None
        self._last_s = 0.0

    @property
    def is_lost(self) -> bool:
        """To another account."""
        return self.end.expired()

    @property
    def kept_waiting_s(self) -> float:
        """By the client: for the piece on its way, or for the one before if that was longer."""
        return max(self._last_s, 0.0 if self._since is None else _now() - self._since)

    def watched(self, send: Send) -> Send:
        """The same, seen by this place."""

        async def watch(message: Message) -> None:
            self._since = _now()
            try:
                await send(message)
            finally:
                self._last_s, self._since = _now() - self._since, None

        return watch

    def heard(self, receive: Receive) -> Receive:
        """The same, seen by this place. Once the body has arrived, its client keeps nobody waiting."""
        size, waited_s = 0, 0.0

        async def hear() -> Message:
            nonlocal size, waited_s
            self._since = _now() - waited_s
            try:
                message = await receive()
            finally:
                waited_s, self._since = _now() - self._since, None
            size += len(message.get("body", b""))
            if not message.get("more_body"):
                self._last_s = 0.0
            elif size >= PIECE_BYTES:
                self._last_s, size, waited_s = waited_s, 0, 0.0
            else:
                self._last_s = max(self._last_s, waited_s)
            return message

        return hear


class DownloadSlots:
    """Of one process. Who has `per_user` already is answered `own_full`, who gets none `all_full`, and who loses one to
    another account `lost`."""

    def __init__(
        self,
        places: int,
        per_user: int,
        own_full: Callable[[], Exception],
        all_full: Callable[[], Exception],
        *,
        lost: Callable[[], Exception] = TimeoutError,
        slow_s: float = SLOW_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._places = places
        self._per_user = per_user
        self._own_full = own_full
        self._all_full = all_full
        self._lost = lost
        self._slow_s = slow_s
        self._patience_s = patience_s
        self._held: list[DownloadSlot] = []
        self._wanted: Counter[UUID] = Counter()
        """Places that users hold or wait for."""

    @property
    def taken(self) -> int:
        return len(self._held)

    @asynccontextmanager
    async def place(self, user_id: UUID) -> AsyncIterator[DownloadSlot]:
        """Raises `own_full`, `all_full`, `lost`."""
        if self._wanted[user_id] >= self._per_user:
            raise self._own_full()
        self._wanted[user_id] += 1
        try:
            place = await self._taken(user_id)
            try:
                async with place.end:
                    yield place
            except TimeoutError as error:
                if not place.is_lost:
                    raise
                raise self._lost() from error
            finally:
                self._give_back(place)
        finally:
            self._wanted -= Counter({user_id: 1})  # which also forgets a user who wants none any more

    async def _taken(self, user_id: UUID) -> DownloadSlot:
        deadline = _now() + self._patience_s
        while self.taken >= self._places:
            is_last_look = _now() >= deadline
            if victim := self._victim(user_id, even_fast=is_last_look):
                self._give_back(victim)
                victim.end.reschedule(_now())
            elif is_last_look:
                raise self._all_full()
            else:
                await asyncio.sleep(LOOK_AGAIN_S)
        place = DownloadSlot(user_id)
        self._held.append(place)
        return place

    def _victim(self, user_id: UUID, *, even_fast: bool) -> DownloadSlot | None:
        """Of the accounts that hold more than this one: the slowest transfer of the one that holds the most."""
        held = Counter(place.user_id for place in self._held)

        def may_lose(place: DownloadSlot) -> bool:
            more = held[place.user_id] - held[user_id]
            return (more > 0 and self._is_slow(place)) or (even_fast and more > 1)

        losers = [place for place in reversed(self._held) if may_lose(place)]
        rank = lambda place: (self._is_slow(place), held[place.user_id], place.kept_waiting_s)  # noqa: E731
        return max(losers, key=rank, default=None)

    def _is_slow(self, place: DownloadSlot) -> bool:
        return place.kept_waiting_s > self._slow_s

    def _give_back(self, place: DownloadSlot) -> None:
        if place in self._held:
            self._held.remove(place)


def _now() -> float:
    return asyncio.get_running_loop().time()
