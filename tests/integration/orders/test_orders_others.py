"""Another's order, directly at the service, with the gateway's own token."""

import pytest
from fastapi import FastAPI

from shared.db import Database
from shared.ids import new_id
from tests.support.orders import Visitor
from tests.support.statements import assert_hidden


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/orders/{}"), ("POST", "/v1/orders/{}/pay"), ("POST", "/v1/orders/{}/cancel")],
)
async def test_anothers_order_is_as_one_that_never_was(
    app: FastAPI, db: Database, user: Visitor, method: str, path: str
) -> None:
    """The same answer by the same statements."""
    placed = await user.place()
    other = Visitor(app)
    await assert_hidden(db, lambda thing: other.request(method, path.format(thing)), placed["id"], str(new_id()))
