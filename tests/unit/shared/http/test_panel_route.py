"""Reading several panels in one call."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast
from uuid import UUID

import asyncpg
import msgspec
import pytest
from structlog.testing import capture_logs

from shared.contracts.panels import PATH, PanelsQuery
from shared.db.engine import Database
from shared.errors import DashboardError, InvalidInput, Unavailable
from shared.http.panel_route import Load, Panels
from shared.observability import telemetry

ID, OTHER = UUID(int=1), UUID(int=2)
DB = cast("Database", None)


async def well(_: Database, ids: Sequence[UUID], __: float) -> Mapping[UUID, str]:
    return {ids[0]: "[1]"}


def failing(error: Exception) -> Load:
    async def load(_: Database, __: Sequence[UUID], ___: float) -> Mapping[UUID, str]:
        raise error

    return load


LATE = failing(TimeoutError())
CANCELLED = failing(asyncpg.QueryCanceledError())
AWAY = failing(ConnectionRefusedError())
DEFECT = failing(KeyError("x"))


async def answer(loaders: Mapping[str, Load], *panels: str, deadline_s: float = 1) -> Any:
    query = PanelsQuery(ids=[ID, OTHER], panels=list(panels) or list(loaders))
    return msgspec.json.decode(await Panels(loaders).answer(DB, query, deadline_s))["panels"]


def defects() -> float:
    counted: float = telemetry.UNHANDLED.labels(PATH)._value.get()
    return counted


async def test_only_the_panels_asked_for_are_read() -> None:
    """The panels are read in their order, and one that is requested twice is read once."""
    read = {"items": {str(ID): [1]}, "missing": [str(OTHER)]}
    found = await answer({"a": DEFECT, "b": well, "c": well}, "c", "b", "c")
    assert list(found.items()) == [("c", read), ("b", read)]


async def test_panels_are_read_at_the_same_time() -> None:
    """Each read starts before another has ended."""
    both = asyncio.Barrier(2)

    async def load(_: Database, __: Sequence[UUID], ___: float) -> Mapping[UUID, str]:
        async with asyncio.timeout(60), both:
            return {}

    found = await answer({"a": load, "b": load})
    assert found.keys() == {"a", "b"}


@pytest.mark.parametrize(
    ("load", "error"), [(LATE, "timeout"), (CANCELLED, "timeout"), (AWAY, "unavailable"), (DEFECT, "internal")]
)
@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
async def test_one_panel_that_fails_does_not_cost_the_others(load: Load, error: str, order: tuple[str, ...]) -> None:
    """Its error says why."""
    found = await answer({"a": load, "b": well}, *order)
    assert found["a"] == {"error": error}
    assert found["b"]["items"] == {str(ID): [1]}


async def test_a_defect_is_counted_and_logged_once() -> None:
    """A defect is logged with its traceback; an outage is a warning and is not counted."""
    before = defects()
    with capture_logs() as logs:
        await answer({"a": DEFECT, "b": well, "c": AWAY})
    assert [(line["log_level"], line["panel"]) for line in logs] == [("error", "a"), ("warning", "c")]
    assert isinstance(logs[0]["exc_info"], KeyError)
    assert defects() == before + 1


@pytest.mark.parametrize("loads", [[LATE], [AWAY], [CANCELLED, LATE], [AWAY, LATE]])
async def test_when_no_panel_can_be_read_the_call_fails(loads: list[Load]) -> None:
    """The response has Retry-After."""
    with pytest.raises(Unavailable):
        await answer(dict(zip("abc", loads, strict=False)))


@pytest.mark.parametrize("loads", [[DEFECT], [DEFECT, LATE], [AWAY, DEFECT]])
async def test_when_no_panel_can_be_read_and_one_has_a_defect_the_error_is_ours(loads: list[Load]) -> None:
    with pytest.raises(DashboardError) as failed:
        await answer(dict(zip("abc", loads, strict=False)))
    assert failed.value.status == 500


@pytest.mark.parametrize(("deadline_s", "seconds"), [(30, 29.99), (0.8, 0.79), (0.1, 0.095), (0.001, 0.00095)])
async def test_reading_ends_a_little_before_the_deadline(deadline_s: float, seconds: float) -> None:
    """Reading ends 10 ms earlier, or 5 % of a short deadline, so that the results arrive in time."""
    told: list[float] = []

    async def load(_: Database, __: Sequence[UUID], timeout_s: float) -> Mapping[UUID, str]:
        told.append(timeout_s)
        return {}

    await answer({"a": load, "b": load}, deadline_s=deadline_s)
    assert told == pytest.approx([seconds, seconds])


async def test_a_call_that_is_given_up_ends_all_reads() -> None:
    """No statement keeps running for a caller who has disconnected."""
    ended, begun = [], asyncio.Barrier(3)

    async def load(_: Database, __: Sequence[UUID], ___: float) -> Mapping[UUID, str]:
        try:
            await begun.wait()
            await asyncio.Event().wait()
        finally:
            ended.append(True)
        return {}

    call = asyncio.create_task(answer({"a": load, "b": load}))
    async with asyncio.timeout(60):
        await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert ended == [True, True]


def test_a_panel_that_the_service_does_not_have() -> None:
    """The error names the field and lists the panels."""
    with pytest.raises(InvalidInput) as refused:
        Panels({"a": well, "b": well}).read_query(msgspec.json.encode({"panels": ["a", "zz"], "ids": [ID]}))
    assert refused.value.errors == [{"field": "panels", "message": "the panels are a, b; not 'zz'"}]
