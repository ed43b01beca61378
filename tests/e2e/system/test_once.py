"""Concurrent requests with one `Idempotency-Key` through the gateway."""

from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.support.stack.running import Person

pytestmark = pytest.mark.e2e

ITEM = {"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}


def test_fifty_at_once_place_one_order(person: Person) -> None:
    """Each response has that order, or asks for a retry because the first is still in flight or the service is busy.
    Another body is refused."""

    def place(_number: int, quantity: int = 1) -> httpx.Response:
        body = {"currency": "EUR", "items": [ITEM | {"quantity": quantity}]}
        return person.http.post("/v1/orders", json=body, headers={"Idempotency-Key": "fifty"})

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(place, range(50)))
    assert {answer.status_code for answer in answers} <= {201, 409, 503}
    [placed] = {answer.json()["id"] for answer in answers if answer.status_code == 201}
    assert [order["id"] for order in person.http.get("/v1/orders").json()["items"]] == [placed]
    assert place(50, quantity=2).status_code == 422
