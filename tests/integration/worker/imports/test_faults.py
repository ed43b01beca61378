"""Imports whose worker is killed or stopped, that are cancelled, and whose storage or orders service is away."""

import asyncio
import json
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID

import asyncpg
import httpx
import pytest
from moto.moto_server.threaded_moto_server import ThreadedMotoServer

from services.worker.imports import storage
from services.worker.imports.importer import Importer
from services.worker.imports.settings import ImportTuning
from services.worker.imports.storage import FileGone, Storage, StorageUnavailable
from services.worker.settings import Settings
from shared.clock import now
from shared.contracts import events
from shared.contracts.imports import MAX_ROWS
from shared.http.identity import GATEWAY
from shared.http.tokens import ServiceTokens
from tests.support.waiting import eventually
from tests.support.worker.imports import Gate, Orders, Owner, csv_of, folder_of, line, many, stored
from tests.support.worker.operators import run_schedule
from tests.support.worker.process import worker_process
from tests.support.worker.world import LONG_S, SECRET, World, deletion, end_leases, tuning_of, working

BATCH = 100
"""Rows of a batch, where a test sends small ones."""
NOWHERE = "http://127.0.0.1:1"


async def told_of(orders: Orders, user_id: UUID) -> int:
    """The orders that the events in the outbox tell of."""
    connection = await asyncpg.connect(orders.database_url)
    try:
        rows = await connection.fetch("SELECT payload FROM outbox WHERE user_id = $1", user_id)
    finally:
        await connection.close()
    return sum(one["orders"] for row in rows for one in json.loads(row["payload"])["sums"])


def gateway(port: int) -> httpx.AsyncClient:
    token = ServiceTokens(SECRET.get_secret_value(), GATEWAY).token()
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=LONG_S)


async def row_of(world: World, import_id: str) -> asyncpg.Record:
    [row] = await world.fetch("SELECT * FROM imports WHERE id = $1", UUID(import_id))
    return row


@pytest.fixture
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of workers in this process."""
    monkeypatch.setattr(storage, "MAX_ROWS", BATCH)


@pytest.mark.full
async def test_kill_nine_in_the_middle(importing: Settings, orders: Orders, gate: Gate, tmp_path: Path) -> None:
    """Killed twice: each time another process goes on at the checkpoint. Every row is one order, counted once."""
    count, window = 8 * MAX_ROWS, tuning_of(importing).of(ImportTuning).import_window
    gate.let_through(window)
    async with worker_process(importing, tmp_path / "worker.log") as worker, gateway(worker.port) as http:
        await worker.until_ready()
        owner = Owner(http)
        import_id = (await owner.upload(many(count))).json()["id"]
        for batches in (window, window + 1):
            await worker.until_ready()
            before = await owner.until(import_id, rows_done=batches * MAX_ROWS)
            assert await worker.end(signal.SIGKILL) == -signal.SIGKILL
            assert before["rows_done"] < count, "in the middle when it was killed"
            await end_leases(importing)
            if batches == window:
                await worker.start()
                gate.let_through(window + 1)  # what the dead one had sent is before the gate, and goes first
    gate.open()
    async with working(importing) as world:
        owner.http = world.http
        status = await owner.ended(import_id)
    assert (status["state"], status["rows_done"], status["rows_failed"]) == ("completed", count, 0)
    assert await orders.count(owner.user_id) == await told_of(orders, owner.user_id) == count


@pytest.mark.full
@pytest.mark.usefixtures("_small_batches")
async def test_a_stop_waits_for_no_import(
    importing: Settings, orders: Orders, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends at the next checkpoint, long before the file does, and the next worker goes on at once."""
    finish = Importer._finish

    async def finish_with_an_open_gate(stopping: Importer) -> None:
        gate.open()
        await finish(stopping)

    monkeypatch.setattr(Importer, "_finish", finish_with_an_open_gate)
    unhurried = importing.model_copy(update={"shutdown_grace_s": LONG_S})
    gate.let_through(2)
    async with working(unhurried) as world:
        await world.until_ready()
        owner = Owner(world.http)
        import_id = (await owner.upload(many(12 * BATCH))).json()["id"]
        await owner.until(import_id, rows_done=2 * BATCH)
        began = time.monotonic()
    assert time.monotonic() - began < unhurried.shutdown_grace_s
    row = await row_of(world, import_id)
    assert (row["state"], row["lease_id"], row["failures"]) == ("running", None, 0)
    assert row["rows_done"] <= (2 + tuning_of(importing).of(ImportTuning).import_window + 1) * BATCH
    async with working(importing) as world:
        await world.until_ready()
        owner.http = world.http
        status = await owner.ended(import_id)
    assert (status["rows_done"], status["rows_repeated"]) == (12 * BATCH, 0)
    assert await orders.count(owner.user_id) == 12 * BATCH


@pytest.mark.full
@pytest.mark.usefixtures("_small_batches")
async def test_two_workers_share_imports_but_none_of_them(importing: Settings, orders: Orders) -> None:
    """Each import is carried out by one: no row is sent twice."""
    async with working(importing) as one, working(importing) as two:
        await asyncio.gather(one.until_ready(), two.until_ready())
        owner = Owner(one.http)
        answers = [await owner.upload(csv_of(*(line(f"{n}-{i}") for i in range(6 * BATCH)))) for n in range(4)]
        ended = [await owner.ended(answer.json()["id"]) for answer in answers]
    assert [(status["rows_done"], status["rows_repeated"]) for status in ended] == [(6 * BATCH, 0)] * 4
    assert await orders.count(owner.user_id) == await told_of(orders, owner.user_id) == 24 * BATCH


@pytest.mark.usefixtures("_small_batches")
async def test_cancelling_stops_at_a_checkpoint(owner: Owner, orders: Orders, gate: Gate, importer: World) -> None:
    """What has been imported stays, and is counted exactly; cancelling again changes nothing."""
    gate.let_through(2)
    import_id = (await owner.upload(many(12 * BATCH))).json()["id"]
    await owner.until(import_id, rows_done=2 * BATCH)
    answer = await owner.cancel(import_id)
    assert (answer.status_code, answer.json()["cancel_requested"]) == (200, True)
    gate.open()
    status = await owner.ended(import_id)
    assert status["state"] == "cancelled"
    assert 2 * BATCH <= status["rows_done"] < 12 * BATCH
    assert await orders.count(owner.user_id) == status["rows_done"]
    assert (await owner.cancel(import_id)).json() == status

    async def told() -> bool:
        found = (await importer.http.get("/v1/notifications", headers=owner.headers)).json()["items"]
        return [one["title"] for one in found] == ["Import cancelled"]

    await eventually(told, LONG_S)


@pytest.mark.usefixtures("_small_batches")
async def test_an_import_ends_with_its_user(owner: Owner, gate: Gate, importer: World) -> None:
    """The deletion cancels it, and removes the name of the file and the errors. The worker that runs it loses its
    lease, and runs other imports. The pruner may already have deleted the row."""
    gate.let_through(2)
    lines = ("not an order", *(line(f"r-{number}") for number in range(12 * BATCH)))
    import_id = (await owner.upload(csv_of(*lines), "of-ada.csv")).json()["id"]
    await owner.until(import_id, rows_done=BATCH, rows_failed=1)
    assert await importer.fetch("SELECT FROM import_errors WHERE user_id = $1", owner.user_id)
    [event_id] = await importer.publish(deletion(owner.user_id))
    await importer.until(event_id, recipients="done")
    gate.open()
    other = Owner(importer.http)
    assert (await other.imported(csv_of(line("a"))))["state"] == "completed"
    rows = await importer.fetch("SELECT state, filename, lease_id FROM imports WHERE user_id = $1", owner.user_id)
    assert [tuple(row) for row in rows] in ([], [("cancelled", None, None)])
    assert await importer.fetch("SELECT FROM import_errors WHERE user_id = $1", owner.user_id) == []


async def test_an_import_that_has_ended_cannot_be_cancelled(owner: Owner) -> None:
    status = await owner.imported(csv_of(line("a")))
    assert (await owner.cancel(status["id"])).json()["code"] == "import_ended"


async def test_an_orders_service_that_is_away_is_waited_for(importing: Settings, orders: Orders) -> None:
    """The status says what it waits for; nothing has failed, and it goes on by itself. It may be cancelled."""
    async with working(importing.model_copy(update={"orders_url": NOWHERE})) as world:
        await world.until_ready()
        owner = Owner(world.http)
        waiting, unwanted = [(await owner.upload(many(10))).json()["id"] for _ in range(2)]

        async def said() -> bool:
            return "cannot be reached" in str((await owner.read(waiting))["error"])

        await eventually(said, LONG_S)
        assert (await owner.read(waiting))["state"] == "running"
        await owner.cancel(unwanted)
        assert (await owner.ended(unwanted))["state"] == "cancelled"
    await end_leases(importing)  # one that was taken as the worker ended
    async with working(importing) as world:
        await world.until_ready()
        owner.http = world.http
        status = await owner.ended(waiting)
    assert (status["state"], status["rows_done"], status["error"]) == ("completed", 10, None)
    assert await orders.count(owner.user_id) == 10


@pytest.mark.full
async def test_a_lost_file_ends_the_import(importing: Settings) -> None:
    """Failed, with the reason; there is nothing to wait for."""
    async with working(importing.model_copy(update={"orders_url": NOWHERE})) as world:
        await world.until_ready()
        owner = Owner(world.http)
        import_id = (await owner.upload(many(10))).json()["id"]
        for path in stored(importing):
            path.unlink()
        status = await owner.ended(import_id)
    assert (status["state"], status["error"]) == ("failed", "the uploaded file no longer exists")


@pytest.mark.parametrize("url", ["file:///proc/none/uploads", "s3://uploads?endpoint=http://127.0.0.1:1&region=x"])
async def test_a_storage_that_is_away(importing: Settings, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload is answered 503, to come again; the worker is degraded, and everything else works."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    async with working(importing.model_copy(update={"storage_url": url})) as world:
        await world.until_ready()
        owner = Owner(world.http)
        answer = await owner.upload(many(10))
        assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        assert "Retry-After" in answer.headers
        assert (await owner.get("")).json()["items"] == []


@pytest.fixture
def small_disk(importing: Settings) -> list[str]:
    """The beginning of a command line: the storage's folder is then a file system of 8 MB, for that command alone."""
    folder = folder_of(importing)
    folder.mkdir()
    command = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs -o size=8m none "$0" && exec "$@"', str(folder)]
    if subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this user may not mount a file system")
    return command


@pytest.mark.full
async def test_a_full_disk(importing: Settings, small_disk: list[str], orders: Orders, tmp_path: Path) -> None:
    """An upload that does not fit is answered 503 and leaves nothing: a smaller one then has room, and is imported."""
    async with worker_process(importing, tmp_path / "worker.log", small_disk) as worker, gateway(worker.port) as http:
        await worker.until_ready()
        owner = Owner(http)
        for _ in range(2):
            answer = await owner.upload(csv_of() + b"\n" * 10_000_000)
            assert (answer.status_code, answer.json()["code"]) == (503, "storage_unavailable")
        assert (await owner.imported(many(10)))["rows_done"] == 10
    assert await orders.count(owner.user_id) == 10


@pytest.mark.full
async def test_a_deleted_user_leaves_no_file(importing: Settings) -> None:
    """Neither the import, finished or not, nor its errors, nor what was uploaded."""
    async with working(importing.model_copy(update={"orders_url": NOWHERE})) as world:
        await world.until_ready()
        owner = Owner(world.http)
        owner.user_id = await world.known()
        owner.headers["X-User-Id"] = str(owner.user_id)
        await owner.imported(csv_of("bad"))
        import_id = (await owner.upload(many(10))).json()["id"]
        await eventually(lambda: len(stored(importing)) == 2, LONG_S)
        [deleted] = await world.publish(events.UserDeleted(user_id=owner.user_id, revision=2, deleted_at=now()))

        await world.until(deleted, recipients="done")
        await run_schedule(world, "expire-imports")

        async def gone() -> bool:
            rows = await world.fetch("SELECT 1 FROM imports UNION ALL SELECT 1 FROM import_errors")
            return not rows and not stored(importing)

        await eventually(gone, LONG_S)
        assert (await owner.get(f"/{import_id}")).status_code == 404
        assert (await owner.upload(many(10))).status_code == 404
        assert not stored(importing)


@pytest.mark.full
async def test_old_imports_are_deleted_with_their_files(importing: Settings) -> None:
    """As long after their end as the setting says; what has not ended stays."""
    async with working(importing) as world:
        await world.until_ready()
        owner = Owner(world.http)
        import_id = (await owner.imported(many(10)))["id"]
        await world.fetch("UPDATE imports SET expires_at = now()")
        await run_schedule(world, "expire-imports")

        async def gone() -> bool:
            return (await owner.get(f"/{import_id}")).status_code == 404 and not stored(importing)

        await eventually(gone, LONG_S)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The storage URL of an empty bucket."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    httpx.put(f"http://{host}:{port}/uploads", timeout=LONG_S).raise_for_status()
    yield f"s3://uploads/dashboard?endpoint=http://{host}:{port}&region=us-east-1"
    server.stop()


@pytest.mark.full
async def test_a_bucket_instead_of_a_folder(importing: Settings, s3: str, orders: Orders) -> None:
    """The same over S3: streamed there and read from there, whatever the size."""
    async with working(importing.model_copy(update={"storage_url": s3})) as world:
        await world.until_ready()
        owner = Owner(world.http)
        padding = csv_of(*(line(f"r-{number}") for number in range(3000))) + b"\n" * 12_000_000
        status = await owner.imported(padding)
        assert (status["state"], status["rows_done"]) == ("completed", 3000)
    assert await orders.count(owner.user_id) == 3000


async def test_files_in_a_bucket(s3: str) -> None:
    """Written in several parts, read from any offset, gone when deleted; a bucket that is not there is an outage."""

    async def parts() -> AsyncIterator[bytes]:
        for number in range(12):
            yield bytes([number]) * 1_000_000

    storage = Storage(s3)
    await storage.write("imports/a.csv", parts())
    assert [piece async for piece in storage.read("imports/a.csv", 11_999_999)] == [b"\x0b"]
    await storage.delete("imports/a.csv")
    await storage.delete("imports/a.csv")
    with pytest.raises(FileGone):
        await anext(storage.read("imports/a.csv", 0))
    with pytest.raises(StorageUnavailable):
        await Storage(s3.replace("uploads", "nobody")).write("imports/a.csv", parts())
