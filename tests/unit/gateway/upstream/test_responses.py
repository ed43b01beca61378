"""Several addresses are fetched at once, within a bound, and one failure affects no other."""

import asyncio

from pyqwest import Request, Response

from services.gateway.upstream.errors import BadAnswer, TooLate, Unreachable
from services.gateway.upstream.responses import Fetched, Fetcher

PATIENT_S, SOON_S = 60.0, 0.01
URLS = [f"http://orders-{number}/readyz" for number in range(20)]


class Services:
    """Answers each address with itself. Addresses in `away` refuse the connection, those in `hanging` never answer."""

    def __init__(self, away: set[str] = frozenset(), hanging: set[str] = frozenset()) -> None:  # type: ignore[assignment]
        self._away = away
        self._hanging = hanging
        self.under_way = self.most = 0

    async def execute(self, request: Request) -> Response:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await asyncio.sleep(0)
            if request.url in self._away:
                raise ConnectionError("refused")
            if request.url in self._hanging:
                await asyncio.Event().wait()
            return Response(status=200, content=request.url.encode())
        finally:
            self.under_way -= 1


async def test_all_are_fetched_within_the_bound() -> None:
    """In the order asked for, and never more than so many at a time."""
    services = Services()
    found = await Fetcher(services, at_once=3, max_bytes=100).fetch_many(URLS, PATIENT_S)
    assert list(found.items()) == [(url, Fetched(200, url.encode())) for url in URLS]
    assert services.most == 3


async def test_a_failure_takes_the_place_of_its_answer() -> None:
    """The others are there, and nothing of the failed ones is left running."""
    services = Services(away={URLS[0]}, hanging={URLS[1]})
    found = await Fetcher(services, at_once=2, max_bytes=100).fetch_many(URLS[:4], SOON_S)
    assert isinstance(found[URLS[0]], Unreachable)
    assert isinstance(found[URLS[1]], TooLate)
    assert [found[url] for url in URLS[2:4]] == [Fetched(200, url.encode()) for url in URLS[2:4]]
    assert services.under_way == 0


async def test_an_answer_that_is_too_large_is_a_failure() -> None:
    found = await Fetcher(Services(), at_once=1, max_bytes=3).fetch_many(URLS[:1], PATIENT_S)
    assert isinstance(found[URLS[0]], BadAnswer)
