"""The worker's panels, from rows written straight into its tables."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from services.worker import panels
from shared.db.engine import Database
from tests.support.backends.databases import NewDatabase
from tests.support.patience import PATIENCE_S
from tests.support.services.description import NO_BROKER
from tests.support.worker.world import settings_for

TODAY = date(2026, 3, 15)
CURRENCIES = ("EUR", "JPY", "USD")
STATUSES = ("cancelled", "created", "paid", "shipped")
TITLES = ("Order paid", 'Say "hi" \\ or é 🙂', "a\nb\tc\x01", "", "</script>")


@pytest.fixture(scope="module")
async def db(new_database: NewDatabase) -> AsyncIterator[Database]:
    url = await asyncio.to_thread(new_database, "worker")
    async with Database.open(settings_for(url, NO_BROKER)) as db:
        yield db


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Sums:
    """Random sums of one user: some are zero or less, some days are missing, some are too old or in the future."""

    def __init__(self, chance: random.Random) -> None:
        self.user_id = uuid4()
        moment = datetime(2026, 3, 1, 12, 30, 5, chance.choice([0, 7, 120, 123456]), tzinfo=UTC)
        self.user = chance.choice(
            [None, (chance.randint(-2, 9), chance.randint(-2, 99), chance.choice([None, moment]))]
        )
        self.statuses = {status: chance.randint(-1, 5) for status in STATUSES if chance.random() < 0.7}
        self.currencies = {
            currency: (chance.randint(-1, 7), chance.randint(-500, 10**6), chance.choice([0, 0, 10**19]))
            for currency in CURRENCIES
            if chance.random() < 0.6
        }
        self.days = {
            (TODAY + timedelta(offset), currency): (
                chance.randint(-1, 3),
                chance.randint(-9, 999),
                chance.choice([0, 10**19]),
            )
            for offset in range(-32, 2)
            for currency in CURRENCIES
            if chance.random() < 0.3
        }

    async def write(self, db: Database) -> None:
        async with db.connection() as connection:
            if self.user:
                await connection.execute("INSERT INTO user_rollups VALUES ($1, $2, $3, $4)", self.user_id, *self.user)
            for statement, rows in (
                ("user_status_rollups VALUES ($1, $2, $3)", [(s, n) for s, n in self.statuses.items()]),
                ("user_currency_rollups VALUES ($1, $2, $3, $4, $5)", [(c, *n) for c, n in self.currencies.items()]),
                ("daily_rollups VALUES ($1, $2, $3, $4, $5, $6)", [(*d, *n) for d, n in self.days.items()]),
            ):
                await connection.executemany(f"INSERT INTO {statement}", [(self.user_id, *row) for row in rows])

    def panel(self) -> dict[str, Any]:
        orders, items, last = self.user or (0, 0, None)
        paid = {c: (n, revenue + beyond) for c, (n, revenue, beyond) in self.currencies.items() if n > 0}
        return {
            "orders": max(orders, 0),
            "items": max(items, 0),
            "revenue": {currency: revenue for currency, (_, revenue) in paid.items()},
            "by_status": {status: number for status, number in self.statuses.items() if number > 0},
            "by_currency": {currency: number for currency, (number, _) in paid.items()},
            "average_order": {currency: rounded(revenue, number) for currency, (number, revenue) in paid.items()},
            "last_order_at": stamp(last) if last else None,
            "daily": [self._day(TODAY - timedelta(back)) for back in range(29, -1, -1)],
        }

    def _day(self, day: date) -> dict[str, Any]:
        sums = {currency: self.days[day, currency] for currency in CURRENCIES if (day, currency) in self.days}
        revenue = {currency: within + beyond for currency, (_, within, beyond) in sums.items() if within + beyond > 0}
        return {"day": str(day), "orders": sum(max(n, 0) for n, _, _ in sums.values()), "revenue": revenue}


def rounded(revenue: int, number: int) -> int:
    """To the nearest, halves away from zero."""
    nearest = (2 * abs(revenue) + number) // (2 * number)
    return nearest if revenue >= 0 else -nearest


def in_order(panel: Any) -> Any:
    """With the fields of objects as a list, so that their order counts."""
    if isinstance(panel, Mapping):
        return [(name, in_order(value)) for name, value in panel.items()]
    return [in_order(each) for each in panel] if isinstance(panel, Sequence) and not isinstance(panel, str) else panel


async def test_analytics_are_what_the_sums_say(db: Database) -> None:
    """Every field, in order, for users with any sums or none."""
    chance = random.Random(7)
    users = [Sums(chance) for _ in range(40)]
    for user in users:
        await user.write(db)
    found = await panels.analytics(db, [user.user_id for user in users], PATIENCE_S, TODAY)
    assert found.keys() == {user.user_id for user in users}
    for user in users:
        assert in_order(json.loads(found[user.user_id])) == in_order(user.panel())


async def add_notification(
    db: Database, user_id: UUID, title: str, *, read: bool, at: datetime, subject: UUID | None = None
) -> UUID:
    add = """
        INSERT INTO notifications (user_id, id, kind, title, body, read, created_at, subject_kind, subject_id)
        VALUES ($1, $2, 'order.paid', $3, $3 || '!', $4, $5, $6, $7)
    """
    new = uuid4()
    async with db.connection() as connection:
        await connection.execute(add, user_id, new, title, read, at, subject and "order", subject)
    return new


async def test_notifications_are_what_the_table_has(db: Database) -> None:
    """The newest twenty, by id, with every field in order and any text in their titles; `[]` for a user without any."""
    user_id, nobody = uuid4(), uuid4()
    rows: dict[UUID, dict[str, Any]] = {}
    for number in range(25):
        at = datetime(2026, 1, 2, 3, 4, 5, number * 1000, tzinfo=UTC)
        title, seen, subject = TITLES[number % len(TITLES)], number % 3 == 0, uuid4() if number % 2 else None
        new = await add_notification(db, user_id, title, read=seen, at=at, subject=subject)
        rows[new] = {
            "id": str(new),
            "kind": "order.paid",
            "title": title,
            "body": f"{title}!",
            "read": seen,
            "created_at": stamp(at),
            "subject": {"kind": "order", "id": str(subject)} if subject else None,
        }
    found = await panels.notifications(db, [user_id, nobody], PATIENCE_S)
    assert found[nobody] == "[]"
    assert in_order(json.loads(found[user_id])) == in_order([rows[each] for each in sorted(rows, reverse=True)[:20]])


async def test_notifications_are_read_from_the_index_alone(db: Database) -> None:
    """However many a user has, twenty entries in their order."""
    user_id = uuid4()
    add = (
        "INSERT INTO notifications SELECT owner, gen_random_uuid(), 'x', 'x', 'x', false, now() "
        "FROM unnest($1::uuid[]) AS owner, generate_series(1, $2)"
    )
    await db.pool.execute(add, [uuid4() for _ in range(2000)], 10)
    await db.pool.execute(add, [user_id], 2000)
    await db.pool.execute("VACUUM ANALYZE notifications")
    lines = await db.pool.fetch(f"EXPLAIN (ANALYZE, TIMING OFF, COSTS OFF) {panels.NOTIFICATIONS}", [user_id])
    plan = "\n".join(line[0] for line in lines)
    assert "Index Only Scan Backward using notifications_recent on notifications (actual rows=20" in plan
    assert "Sort" not in plan


async def test_sums_of_a_day_are_read_from_the_index_alone(db: Database) -> None:
    add = """
        INSERT INTO daily_rollups (user_id, day, currency, orders, revenue)
        SELECT owner, $2::date - back, 'EUR', 1, 1 FROM unnest($1::uuid[]) AS owner, generate_series(0, 99) AS back
    """
    users = [uuid4() for _ in range(1000)]
    await db.pool.execute(add, users, TODAY)
    await db.pool.execute("VACUUM ANALYZE daily_rollups")
    lines = await db.pool.fetch(f"EXPLAIN (COSTS OFF) {panels.ANALYTICS}", users[:1], TODAY)
    assert "Index Only Scan using daily_rollups_panel on daily_rollups" in "\n".join(line[0] for line in lines)
