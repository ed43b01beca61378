"""How accounts share the slots for downloads."""

import asyncio
from uuid import UUID, uuid4

import pytest
from starlette.types import Message

from shared.downloads.slots import PIECE_BYTES, DownloadSlot, DownloadSlots
from tests.support.virtual import Clock, run_virtually

ANN, BOB, CARL, DORA = (uuid4() for _ in range(4))
PIECE: Message = {"type": "http.response.body"}


class Own(Exception):
    """The account has its maximum number of downloads."""


class Busy(Exception):
    """There is no free slot."""


class Client:
    """A client that takes its next part only when a test allows it."""

    def __init__(self, place: DownloadSlot) -> None:
        self.place = place
        self.takes = asyncio.Event()
        self._send = place.watched(self._take)

    async def _take(self, _: Message) -> None:
        await self.takes.wait()

    async def read(self) -> None:
        await self._send(PIECE)


class Downloads:
    """The downloads of a test; `lost` has those whose slot went to another account."""

    def __init__(self, places: int, per_user: int = 4, *, slow_s: float = 3600) -> None:
        self.places = DownloadSlots(places, per_user, Own, Busy, slow_s=slow_s, patience_s=0)
        self.lost: list[UUID] = []
        self.clients: list[Client] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self, *user_ids: UUID) -> None:
        """Start a download. Raises `Own` or `Busy`."""
        for user_id in user_ids:
            begun = asyncio.Event()
            task = asyncio.create_task(self._download(user_id, begun))
            self._tasks.append(task)
            await asyncio.wait([task, asyncio.create_task(begun.wait())], return_when=asyncio.FIRST_COMPLETED)
            if not begun.is_set():
                await task
            await asyncio.sleep(0)

    async def _download(self, user_id: UUID, begun: asyncio.Event) -> None:
        try:
            async with self.places.place(user_id) as place:
                self.clients.append(client := Client(place))
                begun.set()
                await client.read()
        except TimeoutError:
            self.lost.append(user_id)

    async def settled(self) -> list[UUID]:
        """Return the downloads that lost their slot."""
        for _ in range(5):
            await asyncio.sleep(0)
        return self.lost

    async def end(self) -> None:
        for client in self.clients:
            client.takes.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        assert self.places.taken == 0


async def test_an_account_has_so_many() -> None:
    """The limit applies even if other slots are free."""
    downloads = Downloads(4, per_user=2)
    await downloads.begin(ANN, ANN, BOB)
    with pytest.raises(Own):
        await downloads.begin(ANN)
    await downloads.begin(CARL)
    assert await downloads.settled() == []
    await downloads.end()


@pytest.mark.parametrize("holders", ["AAAA", "AAAB", "AABB", "AABC"])
async def test_who_holds_two_more_gives_one_up(holders: str) -> None:
    """This applies even if their clients are fast, and to the account with the most downloads."""
    downloads = Downloads(4)
    await downloads.begin(*({"A": ANN, "B": BOB, "C": CARL}[holder] for holder in holders))
    await downloads.begin(DORA)
    [lost] = await downloads.settled()
    assert lost == ANN or holders == "AABB"
    await downloads.end()


async def test_fast_clients_of_equal_accounts_are_left_alone() -> None:
    """A further download is refused, and may be tried again."""
    downloads = Downloads(3)
    await downloads.begin(ANN, BOB, CARL)
    with pytest.raises(Busy):
        await downloads.begin(DORA)
    assert await downloads.settled() == []
    await downloads.end()


async def test_a_slow_client_loses_its_place_to_an_account_that_has_none() -> None:
    """This applies to accounts that hold one each; an account that already holds as many gets no slot."""
    downloads = Downloads(3, slow_s=0)
    await downloads.begin(ANN, BOB, CARL)
    with pytest.raises(Busy):
        await downloads.begin(BOB)
    downloads.clients[0].takes.set()
    downloads.clients[2].takes.set()
    await downloads.settled()
    await downloads.begin(ANN, CARL)
    await downloads.begin(DORA)
    assert await downloads.settled() == [BOB]
    await downloads.end()


async def test_accounts_end_up_with_equal_shares() -> None:
    """The shares are equal, whoever came first."""
    downloads = Downloads(4)
    await downloads.begin(*[ANN] * 4)
    await downloads.begin(BOB)
    await downloads.begin(BOB)
    with pytest.raises(Busy):
        await downloads.begin(BOB)
    assert await downloads.settled() == [ANN, ANN]
    await downloads.end()


class Sender:
    """The parts of a request's body, each after a pause, as one slot receives them."""

    def __init__(self, *messages: tuple[float, int]) -> None:
        self._messages = iter(messages)
        self.left = len(messages)
        self.place = DownloadSlot(ANN)
        self.hear = self.place.heard(self._receive)

    async def _receive(self) -> Message:
        pause_s, size = next(self._messages)
        await asyncio.sleep(pause_s)
        self.left -= 1
        return {"type": "http.request", "body": b"x" * size, "more_body": self.left > 0}

    async def all_but_the_last(self) -> float:
        while self.left > 1:
            await self.hear()
        return self.place.kept_waiting_s


@pytest.mark.parametrize(
    ("messages", "waits_s"),
    [
        ([(0.5, PIECE_BYTES)] * 4, 0.5),
        ([(0.5, PIECE_BYTES // 4)] * 9, 2),
        ([(0.5, 1)] * 9, 4),
        ([(0.5, 0)] * 9, 4),
        ([(5, PIECE_BYTES), (0.5, PIECE_BYTES), (0, 0)], 0.5),
    ],
    ids=["pieces", "parts of pieces", "single bytes", "empty messages", "fast again"],
)
def test_how_long_an_upload_keeps_others_waiting(messages: list[tuple[float, int]], waits_s: float) -> None:
    """An upload keeps others waiting for 64 KB, in any number of parts, and no longer once it has ended."""

    async def upload(_: Clock) -> None:
        sender = Sender(*messages)
        assert await sender.all_but_the_last() == pytest.approx(waits_s)
        await sender.hear()
        assert sender.place.kept_waiting_s == 0

    run_virtually(upload)
