"""How requests are read, however they are cut into pieces."""

import itertools

import pytest

from tests.support.http_corpus import Case, broken_bodies, pipelines, singles
from tests.support.wire import Wire

EVERY = [*singles(), *pipelines()]


def by_first(cases: list[Case]) -> dict[str, list[Case]]:
    grouped: dict[str, list[Case]] = {}
    for case in cases:
        grouped.setdefault(case.name.split("|")[0].split(",")[0], []).append(case)
    return grouped


GROUPS = by_first(EVERY)


async def outcome(case: Case, *cuts: int, settle: bool) -> tuple[tuple[int, ...], bool]:
    wire = Wire()
    places = [0, *cuts, len(case.raw)]
    for first, last in itertools.pairwise(places):
        wire.receive(case.raw[first:last])
        if settle:
            await wire.settle()
    await wire.settle()
    found = wire.answers, wire.transport.over
    wire.leave()
    return found


def test_the_corpus_is_large() -> None:
    """And each of its requests has a name of its own."""
    assert len({case.name for case in EVERY}) == len(EVERY)
    assert len(singles()) >= 150


@pytest.mark.parametrize("settle", [True, pytest.param(False, marks=pytest.mark.full)], ids=["quick", "slow"])
@pytest.mark.parametrize("name", GROUPS)
async def test_every_request_has_one_answer(name: str, settle: bool) -> None:
    """The same, in the same order, wherever a read ends, and whether the application is quick or slow."""
    for case in GROUPS[name]:
        expected = case.answers, case.closes
        step = 1 if "|" not in case.name else 17
        assert await outcome(case, settle=True) == expected, case.name
        for cut in {*range(1, len(case.raw), step), case.border}:
            assert await outcome(case, cut, settle=settle) == expected, (case.name, cut)


@pytest.mark.parametrize("case", singles(), ids=lambda case: case.name)
async def test_a_request_by_single_bytes(case: Case) -> None:
    """Is the same request."""
    assert await outcome(case, *range(1, len(case.raw)), settle=True) == (case.answers, case.closes)


@pytest.mark.parametrize("case", list(broken_bodies()), ids=lambda case: case.name)
async def test_a_body_that_is_broken(case: Case) -> None:
    """Has one answer, whoever was quicker, and ends the connection."""
    for cut in range(1, len(case.raw)):
        for settle in (True, False):
            answers, closed = await outcome(case, cut, settle=settle)
            assert (len(answers), closed) == (1, True), (cut, answers)
