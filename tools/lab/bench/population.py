"""Users with orders, like those that the services create, written directly into the three databases of a stack."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import asyncpg

NOTES = 20
ADD_USERS = """
    INSERT INTO users (id, email, name, password_hash, role, revision, created_at, updated_at)
    SELECT id, id || '@example.com', 'Ann Bench', '', 'user', 1, now(), now() FROM unnest($1::uuid[]) AS id
"""
ADD_ORDERS = """
    INSERT INTO orders (user_id, id, status, currency, total, item_count, mail, created_at, updated_at)
    SELECT user_id, gen_random_uuid(), 'paid', 'EUR', 4999, 2, false, now() - n * interval '1 minute', now()
    FROM unnest($1::uuid[]) AS user_id, generate_series(1, $2) AS n
"""
ADD_NOTES = """
    INSERT INTO notifications (user_id, id, kind, title, body, created_at)
    SELECT user_id, gen_random_uuid(), 'order.created', 'Thanks for your order', 'It is on its way.', now()
    FROM unnest($1::uuid[]) AS user_id, generate_series(1, $2) AS n
"""
ADD_SUMS = (
    "INSERT INTO user_rollups SELECT user_id, $2, 2 * $2::bigint, now() FROM unnest($1::uuid[]) AS user_id",
    "INSERT INTO user_status_rollups SELECT user_id, 'paid', $2 FROM unnest($1::uuid[]) AS user_id",
    "INSERT INTO user_currency_rollups SELECT user_id, 'EUR', $2, 4999 * $2::bigint FROM unnest($1::uuid[]) AS user_id",
    (
        "INSERT INTO daily_rollups SELECT user_id, current_date - day::int, 'EUR', 1, 4999 "
        "FROM unnest($1::uuid[]) AS user_id, generate_series(0, least(29, $2::bigint)) AS day"
    ),
)


@dataclass(frozen=True)
class Databases:
    """The URLs of the databases, with write access."""

    users: str
    orders: str
    worker: str

    @classmethod
    def of(cls, stack: Mapping[str, Mapping[str, Mapping[str, str]]]) -> "Databases":
        return cls(**stack["postgres"]["databases"])


async def populate(databases: Databases, ids: Sequence[UUID], orders_each: int) -> None:
    await _write(databases.users, (ADD_USERS, ids))
    await _write(databases.orders, (ADD_ORDERS, ids, orders_each))
    sums = [(statement, ids, orders_each) for statement in ADD_SUMS]
    await _write(databases.worker, (ADD_NOTES, ids, min(NOTES, orders_each)), *sums)


async def _write(url: str, *statements: tuple[object, ...]) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement, *arguments in statements:
            await connection.execute(str(statement), *arguments, timeout=300)
        await connection.execute("VACUUM ANALYZE", timeout=300)
    finally:
        await connection.close()
