"""Places the orders of an import: many rows in one statement, each at most once by its user's reference."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC
from uuid import UUID

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.orders import import_rows
from services.orders.import_rows import Batch, ImportedOrder
from services.orders.models import Status
from shared.contracts import events
from shared.contracts.imports import BATCH_PATH, BatchOutcome, RowError
from shared.db.engine import Connection, Database
from shared.errors import Unauthenticated
from shared.http.application import AsgiRoute
from shared.http.identity import WORKER, require_service
from shared.ids import new_id
from shared.observability.pools import POOLS, WaitQueue
from shared.outbox import outbox

BATCHES_AT_ONCE = 4
"""Concurrent batches in the database. The other connections of the pool are for interactive requests."""

# In the order of the references, so that two imports with common references cannot deadlock.
PLACE = f"""
    WITH given AS (
        SELECT * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::bigint[],
            $9::timestamptz[]) AS row (id, reference, currency, sku, name, quantity, unit_price, ordered_at)
    ), placed AS (
        INSERT INTO orders
            (user_id, id, status, currency, total, item_count, mail, created_at, updated_at, reference)
        SELECT $1, id, '{Status.CREATED}', currency, quantity * unit_price, quantity, false, ordered_at, ordered_at,
            reference
        FROM given ORDER BY reference
        ON CONFLICT (user_id, reference) WHERE reference IS NOT NULL DO NOTHING
        RETURNING id
    ), listed AS (
        INSERT INTO order_items (user_id, order_id, position, sku, name, quantity, unit_price)
        SELECT $1, id, 0, sku, name, quantity, unit_price FROM given JOIN placed USING (id)
    )
    SELECT id FROM placed
"""  # noqa: S608  a constant
FIND = """
    SELECT reference, currency, sku, name, quantity, unit_price, orders.created_at AS ordered_at
    FROM orders JOIN order_items ON order_items.user_id = orders.user_id AND order_id = id AND position = 0
    WHERE orders.user_id = $1 AND reference = ANY($2)
"""
TAKEN = "was used before, for another order"


class BatchEndpoint:
    """Answers the worker, in plain ASGI. Users take turns, however many batches each sends."""

    def __init__(self) -> None:
        turns = self._turns = Turns(BATCHES_AT_ONCE)
        POOLS.watch("import_batches", lambda: turns.taken, lambda: turns.places, turns.line)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        if require_service(request) != WORKER:
            raise Unauthenticated("only the worker may call this")
        batch = import_rows.read(await request.body())
        db: Database = scope["app"].state.db
        async with self._turns.turn(batch.user_id), db.connection() as connection, connection.transaction():
            outcome = await place(connection, batch)
        await Response(msgspec.json.encode(outcome), media_type="application/json")(scope, receive, send)


def route() -> AsgiRoute:
    return AsgiRoute(BATCH_PATH, BatchEndpoint(), methods=["POST"])


async def place(connection: Connection, batch: Batch) -> BatchOutcome:
    """Place the orders that do not exist yet, with one event for all of them."""
    created = await _insert(connection, batch.user_id, batch.orders)
    others = {place: order for place, order in batch.orders.items() if place not in created}
    taken = await _taken(connection, batch.user_id, others) if others else []
    if created:
        event = event_of(batch.user_id, batch.import_id, [batch.orders[place] for place in created])
        await connection.execute(outbox.INSERT, *outbox.row(event))
    return BatchOutcome(len(created), len(others) - len(taken), [*batch.errors, *taken])


async def _insert(connection: Connection, user_id: UUID, orders: Mapping[int, ImportedOrder]) -> set[int]:
    if not orders:
        return set()
    places = {new_id(order.ordered_at): place for place, order in orders.items()}
    columns = map(list, zip(*orders.values(), strict=True))
    placed = await connection.fetch(PLACE, user_id, list(places), *columns)
    return {places[row["id"]] for row in placed}


async def _taken(connection: Connection, user_id: UUID, orders: Mapping[int, ImportedOrder]) -> list[RowError]:
    """Return the rows whose reference belongs to an order with other content."""
    rows = await connection.fetch(FIND, user_id, [order.reference for order in orders.values()])
    known = {row["reference"]: ImportedOrder(*row).trimmed() for row in rows}
    return [RowError(place, "reference", TAKEN) for place, it in orders.items() if known.get(it.reference) != it]


def event_of(user_id: UUID, import_id: UUID, orders: Sequence[ImportedOrder]) -> events.OrdersImported:
    return events.OrdersImported(
        user_id=user_id,
        import_id=import_id,
        sums=tuple(sums_of(orders)),
        last_order_at=max(order.ordered_at for order in orders),
    )


def sums_of(orders: Iterable[ImportedOrder]) -> Iterable[events.ImportedSum]:
    """Sum up by currency and UTC day."""
    groups: dict[tuple[str, object], list[ImportedOrder]] = defaultdict(list)
    for order in orders:
        groups[order.currency, order.ordered_at.astimezone(UTC).date()].append(order)
    for group in groups.values():
        yield events.ImportedSum(
            currency=group[0].currency,
            day=group[0].ordered_at.astimezone(UTC).date(),
            orders=len(group),
            items=sum(order.quantity for order in group),
            revenue=sum(order.total for order in group),
        )


class Turns:
    """Places that are assigned in turn by user; within one user, first come, first served."""

    def __init__(self, places: int) -> None:
        self.places = places
        self.taken = 0
        self.line = WaitQueue()
        self._waiting: dict[UUID, deque[asyncio.Future[None]]] = {}
        """The waiters by user; the user whose turn is next is first."""

    @asynccontextmanager
    async def turn(self, user_id: UUID) -> AsyncIterator[None]:
        """Wait for a place, and hold it during the block."""
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
        """Wait until another caller's place is passed on to this one."""
        given = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, deque()).append(given)
        try:
            await given
        except asyncio.CancelledError:
            if not given.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Pass the place on to the next waiter, or free it if there is none."""
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
