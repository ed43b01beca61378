"""GET /v1/orders and GET /v1/orders/{id}."""

from uuid import uuid4

import pytest
from fastapi import FastAPI

from tests.support.orders import Visitor


async def test_pages_are_newest_first_and_complete(app: FastAPI, user: Visitor) -> None:
    """The pages contain every order of the user once, newest first, and no others."""
    placed = [(await user.place())["id"] for _ in range(5)]
    await Visitor(app).place()
    found: list[str] = []
    cursor: dict[str, str] = {}
    for size in (2, 2, 1):
        page = (await user.get("/v1/orders", params={"limit": "2"} | cursor)).json()
        assert len(page["items"]) == size
        found += [order["id"] for order in page["items"]]
        cursor = {"cursor": page["next_cursor"]}
    assert page["next_cursor"] is None
    assert found == placed[::-1]


async def test_an_order_that_comes_between_two_pages_moves_nothing(user: Visitor) -> None:
    """The second page continues where the first ended."""
    placed = [(await user.place())["id"] for _ in range(3)]
    first = (await user.get("/v1/orders?limit=1")).json()
    await user.place()
    second = (await user.get("/v1/orders", params={"limit": 1, "cursor": first["next_cursor"]})).json()
    assert second["items"][0]["id"] == placed[1]


async def test_a_list_can_be_of_one_status(user: Visitor) -> None:
    """`?status=paid` returns only paid orders."""
    placed = [await user.place() for _ in range(3)]
    await user.post(f"/v1/orders/{placed[1]['id']}/pay")
    page = (await user.get("/v1/orders?status=paid")).json()
    assert [order["id"] for order in page["items"]] == [placed[1]["id"]]


async def test_a_user_without_orders_has_an_empty_page(user: Visitor) -> None:
    """An empty page is not an error."""
    assert (await user.get("/v1/orders")).json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("cursor=nonsense", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=" + "A" * 65, "cursor"),
        ("cursor=%ff", "cursor"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=x", "limit"),
        ("status=lost", "status"),
    ],
)
async def test_a_wrong_query_is_refused_by_name(user: Visitor, query: str, field: str) -> None:
    """The response is 422 and names the parameter."""
    response = await user.get(f"/v1/orders?{query}")
    assert response.status_code == 422
    assert response.json()["errors"][0]["field"] == field


async def test_an_order_is_its_owners_and_the_operators(app: FastAPI, user: Visitor) -> None:
    """Administrators and support can read it, too; for other users it does not exist."""
    placed = await user.place()
    path = f"/v1/orders/{placed['id']}"
    for reader in (user, Visitor(app, "admin"), Visitor(app, "support")):
        assert (await reader.get(path)).json() == placed
    foreign, missing = await Visitor(app).get(path), await user.get(f"/v1/orders/{uuid4()}")
    assert foreign.status_code == missing.status_code == 404
    assert foreign.json()["code"] == missing.json()["code"] == "order_not_found"


async def test_an_id_that_is_none_is_refused(user: Visitor) -> None:
    """The response is 422, not 500 or 404."""
    assert (await user.get("/v1/orders/none")).status_code == 422
