"""From a body to an order and its event."""

from datetime import UTC, datetime
from uuid import uuid4

from services.orders import models
from services.orders.models import Status
from services.orders.schemas import Change, NewOrder
from services.orders.service import draft, event_of, history_of

BODY = NewOrder.model_validate(
    {
        "currency": "EUR",
        "items": [
            {"sku": "A-1", "name": "Lamp", "quantity": 2, "unit_price": 1050},
            {"sku": "B-2", "name": "Bulb", "quantity": 3, "unit_price": 99},
        ],
    }
)


def test_a_drafted_order_is_new_and_computed() -> None:
    """It is created, owned by its user, and its sums are the service's."""
    user_id = uuid4()
    order = draft(user_id, BODY)
    assert (order.user_id, order.status, order.total, order.item_count) == (user_id, Status.CREATED, 2397, 5)
    assert order.created_at == order.updated_at
    assert order.id.version == 7


def test_an_order_of_the_past_sorts_by_that_past() -> None:
    """Its id carries the time that it is given."""
    past = datetime(2024, 2, 29, 12, 0, tzinfo=UTC)
    order = draft(uuid4(), BODY, past)
    assert order.created_at == past
    assert order.id.int >> 80 == int(past.timestamp() * 1000)
    assert order.id < draft(uuid4(), BODY).id


def test_the_event_says_all_of_the_order() -> None:
    """Every field of the order that a consumer needs is in the event, in the same order of items."""
    order = draft(uuid4(), BODY)
    event = event_of(order, mail=False)
    assert (event.user_id, event.order_id, event.created_at) == (order.user_id, order.id, order.created_at)
    assert (event.currency, event.total, event.item_count, event.mail) == ("EUR", 2397, 5, False)
    assert [(line.sku, line.name, line.quantity, line.unit_price) for line in event.items] == [
        ("A-1", "Lamp", 2, 1050),
        ("B-2", "Bulb", 3, 99),
    ]


def test_a_history_ends_with_the_present_status() -> None:
    """Recorded changes follow the creation. A last change that was not recorded has the time of the order's update."""
    placed, paid, changed = (datetime(2026, 3, day, tzinfo=UTC) for day in (1, 2, 3))
    order = models.Order(status=Status.SHIPPED, created_at=placed, updated_at=changed)
    first = Change(status=Status.CREATED, at=placed)
    recorded = [Change(status=Status.PAID, at=paid), Change(status=Status.SHIPPED, at=changed)]
    assert history_of(order, recorded) == [first, *recorded]
    assert history_of(order, recorded[:1]) == [first, *recorded]
    assert history_of(order, []) == [first, recorded[1]]
