"""Every benchmark still works, with windows far too short for a measurement. No duration is asserted."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest

from tests.support.backends import Backends
from tools.lab.bench import (
    bookkeeping,
    delays,
    enqueue,
    faults,
    gateway,
    orders,
    overload,
    panels,
    passthrough,
    pauses,
    pictures,
    queueing,
    relay,
    reports,
    rest,
    scenarios,
    streams,
    traces,
    views,
    worker,
    wrk,
)
from tools.lab.bench.bed import Bed, bed
from tools.lab.bench.conditions import SMALL, SMALL_WITH_PEERS
from tools.lab.bench.consumers import CONSUMERS, OURS, PLAIN
from tools.lab.bench.contestants import PEERS
from tools.lab.bench.peers import effect
from tools.lab.bench.population import populate

needs_wrk = pytest.mark.skipif(wrk.missing() is not None, reason=f"{wrk.missing()}: `make bench` installs it")


@pytest.fixture
def ground(backends: Backends) -> Iterator[Bed]:
    with bed(backends) as made:
        yield made


def cells(report: str, row: str) -> list[str]:
    """Return the cells of the first table row that starts with this text."""
    line = next(line for line in report.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@needs_wrk
@pytest.mark.full
def test_the_gateway_answers(ground: Bed) -> None:
    """Our gateway serves dashboards under load, and so does one of another checkout, which here is the same
    checkout."""
    report = gateway.run(ground, replace(SMALL, compiled=Path.cwd())).text
    assert f"| {gateway.COMPILED_CACHED} |" in report
    assert "Failed requests: none." in report


@needs_wrk
@pytest.mark.full
def test_the_gateways_peers_answer(ground: Bed) -> None:
    """Every peer that is installed on this machine serves dashboards, too; the report names the others."""
    report = gateway.run(ground, SMALL_WITH_PEERS).text
    assert "Failed requests: none." in report
    for name, peer in PEERS.items():
        assert (f"Not measured: {name}" in report) == (peer.missing() is not None)


@needs_wrk
@pytest.mark.full
def test_rest_panels_are_served(ground: Bed) -> None:
    """Our gateway serves them, uncached and cached, and so does every installed peer; the report names the others."""
    report = rest.run(ground, SMALL_WITH_PEERS).text
    assert "Failed requests: none." in report
    assert all(f"| {name} |" in report for name in (rest.OURS, rest.CACHED, rest.BATCH, rest.BATCH_CACHED))
    for name in rest.THEIRS:
        assert (f"Not measured: {name}" in report) != (f"| {rest.OURS} / {name} |" in report)


@needs_wrk
@pytest.mark.full
def test_requests_are_passed_through(ground: Bed) -> None:
    """Our gateway and every installed peer pass requests through; the report names the others."""
    report = passthrough.run(ground, SMALL_WITH_PEERS).text
    assert "Failed requests: none." in report
    for name in (passthrough.PROXY, passthrough.FASTIFY):
        assert (f"Not measured: {name}" in report) != (f"| {passthrough.OURS} / {name} |" in report)


@needs_wrk
@pytest.mark.full
def test_every_scenario_is_answered(ground: Bed) -> None:
    """With many users, large panels, request ids and TLS no request fails."""
    report = scenarios.run(ground, SMALL_WITH_PEERS).text
    assert "Failed requests: none." in report
    assert all(f"| {name} |" in report for name in scenarios.SCENARIOS)


@needs_wrk
@pytest.mark.full
def test_pauses_are_recorded(ground: Bed) -> None:
    """Every separate cause has a row, and callbacks are counted."""
    report = pauses.run(ground, SMALL).text
    assert all(cells(report, cause) for cause in pauses.ALWAYS)
    assert int(cells(report, pauses.OFF_CPU)[1].replace(",", "")) > 0


@pytest.mark.full
def test_each_piece_of_bookkeeping_is_measured_in_both_ways(ground: Bed) -> None:
    """Both ways are measured for the parts and for a whole dashboard, which the application and the fast path return in
    turns."""
    report = bookkeeping.run(ground, SMALL).text
    assert cells(report, "timer of a wait")[6] == "4 / 0"
    for name in ("uncached, 1 caller", "uncached, 64 callers", "cached, 1 caller", "cached, 64 callers"):
        assert all(cells(report, name))


@needs_wrk
@pytest.mark.full
def test_faults_leave_the_other_panels_fresh(ground: Bed) -> None:
    """While the worker hangs, the load counts fresh panels of the other services and none of the worker."""
    *_, failed, user, of_orders, notifications, analytics = cells(faults.run(ground, SMALL).text, "worker hangs")
    assert (failed, notifications, analytics) == ("0", "0.0%", "0.0%")
    assert "0.0%" not in (user, of_orders)


def test_a_panel_is_read_in_each_way(ground: Bed) -> None:
    """The panel of one service is read by every route, and each costs CPU time of the service."""
    case, ids = panels.Case("users", orders=20, batch=8), [uuid4() for _ in range(8)]
    with panels.databases(ground, "one") as databases:
        asyncio.run(populate(databases, ids, case.orders))
        served = panels.start(ground, case.service, databases.users, ids)
        costs = {way: asyncio.run(panels.measure(served, way, case, users=64)) for way in panels.WAYS}
    assert all(cost.service > 0 for cost in costs.values())


@pytest.mark.full
def test_panels_are_read_in_each_way(ground: Bed) -> None:
    """Panels of every service are read by every route."""
    report = panels.run(ground, SMALL).text
    assert all(way in report for way in panels.WAYS)
    assert all(f"| {service} |" in report for service in panels.PANELS)


@pytest.mark.full
def test_orders_are_placed_in_both_ways(ground: Bed) -> None:
    """The statement and the ORM are both measured."""
    assert "| ratio |" in orders.run(ground, SMALL).text


@pytest.mark.full
def test_the_worker_does_every_event_once(ground: Bed) -> None:
    """Our worker and plain FastStream consume all events from their queues."""
    assert f"{OURS} / {PLAIN}" in worker.run(ground, SMALL).text


@pytest.mark.long
def test_the_workers_peers_do_every_event(ground: Bed) -> None:
    """Every installed framework consumes all events, and those with a queue in RabbitMQ do so although they are
    killed."""
    report = worker.run(ground, SMALL_WITH_PEERS).text
    for consumer in CONSUMERS:
        assert consumer.missing() == (f"Not measured: {consumer.name}" in report)
        if not consumer.missing() and consumer.name != OURS:
            assert f"| {OURS} / {consumer.name} |" in report
        if not consumer.missing() and consumer.queue == "RabbitMQ":
            assert f"| {consumer.name} | 0 |" in report


@pytest.mark.full
def test_an_event_that_is_counted_twice_is_noticed(ground: Bed) -> None:
    """A repeated delivery changes nothing; sums of more events than were done stop the benchmark."""

    async def deliver(url: str) -> None:
        connection = await asyncpg.connect(url)
        try:
            event = effect.event()
            for _ in range(2):
                await connection.execute(effect.ASYNCPG, *effect.arguments(event))
            await worker.verify(connection, 1)
            await connection.execute("UPDATE daily_rollups SET orders = 2")
            with pytest.raises(worker.WrongSums):
                await worker.verify(connection, 1)
        finally:
            await connection.close()

    with queueing.place(ground, "worker") as place:
        asyncio.run(deliver(place.database_url))


@pytest.mark.full
def test_tasks_are_enqueued_with_orders(ground: Bed) -> None:
    """Every order has its task in the outbox."""
    assert enqueue.OURS in enqueue.run(ground, SMALL).text


@pytest.mark.full
def test_tasks_are_enqueued_by_peers(ground: Bed) -> None:
    """Every installed framework stores a task for each order."""
    report = enqueue.run(ground, SMALL_WITH_PEERS).text
    for name in enqueue.PEERS:
        assert (f"| {name} |" in report) != (f"Not measured: {name}" in report)


@pytest.mark.full
def test_the_relay_empties_its_outbox(ground: Bed) -> None:
    """The relay publishes all rows."""
    assert "rows/s" in relay.run(ground, SMALL).text


@pytest.mark.full
def test_delayed_tasks_start_beside_waiting_ones(ground: Bed) -> None:
    """Both workers start all delayed tasks, not before they are due, also the one whose ledger is full."""
    report = delays.run(ground, SMALL).text
    late = cells(report, "start after the due time, p50 / p95 / p99 ms")
    assert all(float(figure) >= 0 for cell in late[1:3] for figure in cell.split(" / "))


@pytest.mark.full
def test_pictures_are_taken_while_dashboards_are_read(ground: Bed) -> None:
    """All pictures are stored, and no dashboard fails."""
    report = pictures.run(ground, SMALL).text
    assert "Refused: 0." in report
    assert "| during |" in report


@pytest.mark.full
def test_reports_are_downloaded_and_copied(ground: Bed) -> None:
    """Reports are downloaded through the gateway, plain and compressed, and copied by psql."""
    report = reports.run(ground, SMALL).text
    assert reports.PSQL in report
    assert "| gateway | report, gzip |" in report


@needs_wrk
@pytest.mark.full
def test_an_overload_is_answered(ground: Bed) -> None:
    """Requests arrive at a fixed rate, and none fails except those that are shed."""
    report = overload.run(ground, SMALL).text
    assert overload.SHEDDING in report
    assert all(
        row.endswith("| 0 |")
        for row in report.splitlines()
        if row.startswith((f"| {overload.SHEDDING}", f"| {overload.NOT}"))
    )


@pytest.mark.full
def test_traces_are_recorded_under_load(ground: Bed) -> None:
    """No, some and all requests are traced, uncached and cached."""
    report = traces.run(ground, SMALL).text
    assert "| 100 %, cached |" in report


@pytest.mark.full
def test_open_streams_are_told_of_changes(ground: Bed) -> None:
    """Every stream is opened, and changes arrive on it."""
    report = streams.run(ground, SMALL).text
    assert "20 streams" in report
    assert "| 100 |" in report


@pytest.mark.full
def test_every_view_of_operators_is_answered(ground: Bed) -> None:
    """Each request of each view succeeds, on a stack with a few rows of every kind."""
    found = views.run(ground, SMALL).text
    assert found.count("/v1/admin/") > 30
    assert float(cells(found, "History")[3]) >= 0
