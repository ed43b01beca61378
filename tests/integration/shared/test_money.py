"""Amounts as Postgres writes them."""

import asyncpg

from shared.money import MINOR_DIGITS, decimal_sql, format_money
from tests.support.backends.databases import NewDatabase

AMOUNTS = (0, 5, -5, 1234, 123456789, 23 * 9 * 10**18)


async def test_postgres_writes_amounts_as_the_services_do(new_database: NewDatabase) -> None:
    """In every currency, whatever the size: the same decimals, without separators."""
    amounts = [(minor, currency) for currency in (*MINOR_DIGITS, "DEM") for minor in AMOUNTS]
    query = (
        f"SELECT {decimal_sql('minor', 'currency')} FROM unnest($1::numeric[], $2::text[]) AS amount (minor, currency)"
    )
    connection = await asyncpg.connect(new_database("orders"))
    try:
        rows = await connection.fetch(query, *map(list, zip(*amounts, strict=True)))
    finally:
        await connection.close()
    written = [f"{row[0]} {currency}" for row, (_, currency) in zip(rows, amounts, strict=True)]
    assert written == [format_money(*amount).replace(",", "") for amount in amounts]
