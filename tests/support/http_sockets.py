"""The HTTP corpus over real sockets."""

import asyncio
import contextlib
import random
from collections.abc import Iterator

import pytest

from tests.support.http_corpus import LAST, Case
from tests.support.wire import statuses

how_often = pytest.mark.parametrize(
    "random_cuts", [1, pytest.param(4, marks=pytest.mark.full), pytest.param(10, marks=pytest.mark.long)]
)
"""The number of random points at which each request is split: one in `make test`, some in `make full`."""


async def heard(port: int, raw: bytes, cut: int = 0) -> bytes:
    """Return everything that the server sends until it closes the connection. With a split, the request is sent in two
    parts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        for piece in (raw[:cut], raw[cut:]):
            writer.write(piece)
            await writer.drain()
            for _ in range(5):  # iterations of the loop, in which the server reads
                await asyncio.sleep(0)
    answer = await reader.read()
    writer.close()
    return answer


def cuts(case: Case, random_cuts: int) -> Iterator[int]:
    """Yield the end of the head, and random positions, the same each time."""
    yield case.border if case.border < len(case.raw) else 0
    drawn = random.Random(case.name)
    yield from (drawn.randrange(1, len(case.raw)) for _ in range(random_cuts))


async def wrong(port: int, cases: list[Case], random_cuts: int) -> list[str]:
    """Return the cases whose response differs from the corpus. A last request shows whether the connection is still
    open."""
    found = []
    for case in cases:
        expected = case.answers if case.closes else (*case.answers, 200)
        for cut in cuts(case, random_cuts):
            answers = statuses(await heard(port, case.raw + LAST, cut))
            if answers != expected:
                found.append(f"{case.name}, cut at {cut}: {answers}, not {expected}")
    return found
