"""The fingerprint by which two requests are the same."""

from services.orders.idempotency import claim_of
from services.orders.schemas import NewOrder

ONE = '{"currency":"EUR","items":[{"sku":"A","name":"B","quantity":1,"unit_price":2}]}'
SAME = '{ "items": [{"unit_price": 2, "quantity": 1, "name": "B", "sku": "A"}], "currency": "EUR" }'
OTHER = ONE.replace("2}", "3}")


def _fingerprint(body: str) -> bytes:
    return claim_of("key", NewOrder.model_validate_json(body)).fingerprint


def test_a_fingerprint_is_of_the_meaning() -> None:
    """Spacing and the order of members do not matter, but every value does."""
    assert _fingerprint(ONE) == _fingerprint(SAME)
    assert _fingerprint(ONE) != _fingerprint(OTHER)
    assert len(_fingerprint(ONE)) == 32
