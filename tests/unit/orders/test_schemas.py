"""The validation of a new order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.orders.schemas import Item, NewOrder

ITEM: dict[str, Any] = {"sku": "A-1", "name": "Lamp", "quantity": 2, "unit_price": 1050}
BIGINT = 2**63 - 1

items = st.builds(
    Item,
    sku=st.just("A-1"),
    name=st.just("Lamp"),
    quantity=st.integers(1, 10_000),
    unit_price=st.integers(0, 1_000_000_000),
)


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantity": 0},
        {"quantity": -1},
        {"quantity": 10_001},
        {"quantity": 1.0},
        {"quantity": "1"},
        {"quantity": True},
        {"unit_price": -1},
        {"unit_price": 1_000_000_001},
        {"unit_price": 10**40},
        {"sku": ""},
        {"sku": "x" * 65},
        {"sku": "a\0b"},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "\0"},
        {"name": "\ud800"},
        {"name": None},
        {"discount": 1},
    ],
)
def test_a_wrong_item_is_refused_by_field(wrong: dict[str, Any]) -> None:
    """Negative, huge, coerced, empty, unstorable and unknown values are refused at their position."""
    with pytest.raises(ValidationError) as refused:
        NewOrder.model_validate({"currency": "EUR", "items": [ITEM | wrong]})
    assert {error["loc"] for error in refused.value.errors()} == {("items", 0, *wrong)}


@pytest.mark.parametrize("currency", ["", "EU", "EURO", "ABC", "XXX", "XAU", "\ud800UR", 978, None])
def test_an_unknown_currency_is_refused(currency: object) -> None:
    """Only ISO 4217 codes of current money are accepted: no metals, no test codes."""
    with pytest.raises(ValidationError):
        NewOrder.model_validate({"currency": currency, "items": [ITEM]})


@pytest.mark.parametrize("count", [0, 101])
def test_an_order_has_1_to_100_items(count: int) -> None:
    """Orders without items and with too many are refused."""
    with pytest.raises(ValidationError):
        NewOrder.model_validate({"currency": "EUR", "items": [ITEM] * count})


@pytest.mark.parametrize("field", ["id", "user_id", "status", "total", "mail", "created_at"])
def test_a_client_cannot_set_what_the_service_decides(field: str) -> None:
    """Mass assignment is refused."""
    with pytest.raises(ValidationError):
        NewOrder.model_validate({"currency": "EUR", "items": [ITEM], field: "x"})


@given(st.lists(items, min_size=1, max_size=100))
def test_totals_add_up(some: list[Item]) -> None:
    """The total is the sum of quantity times price, and the count that of quantities."""
    order = NewOrder.model_validate({"currency": "EUR", "items": some})
    assert order.total == sum(item.quantity * item.unit_price for item in some)
    assert order.item_count == sum(item.quantity for item in some)


def test_the_largest_order_fits_its_columns() -> None:
    """The bounds together keep the total in a bigint, and the count in an integer."""
    largest = ITEM | {"quantity": 10_000, "unit_price": 1_000_000_000}
    order = NewOrder.model_validate({"currency": "EUR", "items": [largest] * 100})
    assert order.total <= BIGINT
    assert order.item_count < 2**31
