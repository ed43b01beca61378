"""The Idempotency-Key of POST /v1/orders."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from shared.db.engine import Database
from tests.support.orders import BODY, Visitor


async def _post(user: Visitor, key: str, currency: str = "EUR") -> httpx.Response:
    return await user.post("/v1/orders", json=BODY | {"currency": currency}, headers={"Idempotency-Key": key})


async def _count(user: Visitor, db: Database, table: str) -> int:
    """Return the number of this user's rows."""
    count: int = await db.pool.fetchval(f"SELECT count(*) FROM {table} WHERE user_id = $1", user.user_id)
    return count


async def test_a_repetition_is_answered_with_the_first_order(user: Visitor, db: Database) -> None:
    """The response is the same 201, marked as a replay; there is one order and one event."""
    first, second = await _post(user, "k"), await _post(user, "k")
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()
    assert first.headers["Location"] == second.headers["Location"]
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["Idempotent-Replayed"] == "true"
    assert await _count(user, db, "orders") == await _count(user, db, "outbox") == 1


async def test_fifty_at_once_place_one_order(user: Visitor, db: Database) -> None:
    """The first request places the order, and all others receive the same one."""
    responses = await asyncio.gather(*(_post(user, "k") for _ in range(50)))
    assert {response.status_code for response in responses} == {201}
    assert len({response.json()["id"] for response in responses}) == 1
    assert sum("Idempotent-Replayed" in response.headers for response in responses) == 49
    assert await _count(user, db, "orders") == await _count(user, db, "outbox") == 1


async def test_another_body_under_the_key_is_refused(user: Visitor, db: Database) -> None:
    """The response is 422 and names the header; nothing is placed."""
    await _post(user, "k")
    response = await _post(user, "k", "USD")
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_key_reused")
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
    assert await _count(user, db, "orders") == 1


async def test_keys_belong_to_their_user(app: FastAPI, user: Visitor, db: Database) -> None:
    """Two users with the same key each place an order."""
    other = Visitor(app)
    first, second = await _post(user, "k"), await _post(other, "k")
    assert first.json()["id"] != second.json()["id"]
    assert await _count(user, db, "orders") == await _count(other, db, "orders") == 1


async def test_a_refused_order_leaves_its_key_free(alone: FastAPI) -> None:
    """The key is stored only with the order."""
    user, db = Visitor(alone), alone.state.db
    await db.pool.execute("ALTER TABLE outbox ADD CONSTRAINT refuse CHECK (false)")
    assert (await _post(user, "k")).status_code == 500
    await db.pool.execute("ALTER TABLE outbox DROP CONSTRAINT refuse")
    response = await _post(user, "k")
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response.headers


async def test_while_the_first_is_in_flight_the_second_waits_only_so_long(impatient_app: FastAPI) -> None:
    """The response is 409 after the lock timeout. Once the first request has failed, the order can be placed."""
    user, db = Visitor(impatient_app), impatient_app.state.db
    async with db.connection() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(
            "INSERT INTO idempotency_keys VALUES ($1, 'k', 'f', gen_random_uuid(), now())", user.user_id
        )
        response = await _post(user, "k")
        await transaction.rollback()
    assert (response.status_code, response.json()["code"]) == (409, "request_in_flight")
    assert int(response.headers["Retry-After"]) >= 1
    assert (await _post(user, "k")).status_code == 201


async def test_a_key_is_free_again_after_a_day(user: Visitor, db: Database) -> None:
    """When it is used again, even with another body, it places a second order and belongs to that."""
    first = await _post(user, "k")
    expire = "UPDATE idempotency_keys SET created_at = now() - interval '25 hours' WHERE user_id = $1"
    await db.pool.execute(expire, user.user_id)
    second, third = await _post(user, "k", "USD"), await _post(user, "k", "USD")
    assert first.json()["id"] != second.json()["id"] == third.json()["id"]
    assert "Idempotent-Replayed" not in second.headers
    assert await _count(user, db, "idempotency_keys") == 1


async def test_expired_keys_are_taken_away_in_passing(alone: FastAPI) -> None:
    """Each new key deletes two expired ones of any user, and none that is still valid."""
    user, db = Visitor(alone), alone.state.db
    for key in ("a", "b", "c"):
        await _post(Visitor(alone), key)
    await db.pool.execute("UPDATE idempotency_keys SET created_at = now() - interval '25 hours'")
    await _post(user, "d")
    assert await db.pool.fetchval("SELECT count(*) FROM idempotency_keys") == 2
    await _post(user, "e")
    assert {row["key"] for row in await db.pool.fetch("SELECT key FROM idempotency_keys")} == {"d", "e"}


@pytest.mark.parametrize("key", ["", " ", "two words", "x" * 256, "é"])
async def test_a_key_is_visible_ascii(user: Visitor, key: str) -> None:
    """A key has 1 to 255 characters without spaces; others are 422."""
    response = await user.post("/v1/orders", json=BODY, headers={b"Idempotency-Key": key.encode()})
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == "Idempotency-Key"
