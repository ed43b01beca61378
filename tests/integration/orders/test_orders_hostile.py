"""Bodies and keys that only the orders service accepts: the response is a client error."""

import json

import pytest

from tests.support import hostile
from tests.support.orders import BODY, ITEM, Visitor


@pytest.mark.parametrize("field", ["sku", "name"])
async def test_half_a_character(user: Visitor, field: str) -> None:
    """A lone surrogate is valid JSON, but no database can store it: 422."""
    body = json.dumps(BODY | {"items": [ITEM | {field: "\ud800"}]})
    hostile.assert_refused(await user.post("/v1/orders", content=body, headers=hostile.JSON), 422)


async def test_orders_that_are_too_many_items(user: Visitor) -> None:
    """Orders without items and with more than a hundred are refused."""
    for items in ([], [ITEM] * 101, {"0": ITEM}):
        hostile.assert_refused(await user.post("/v1/orders", json=BODY | {"items": items}), 422)


async def test_keys_that_are_none(user: Visitor) -> None:
    """The response is 422 as a problem."""
    for key in ("", "x" * 300, "\u00e9"):
        answer = await user.post("/v1/orders", json=BODY, headers=[(b"Idempotency-Key", key.encode("latin-1"))])
        hostile.assert_refused(answer, 422)
