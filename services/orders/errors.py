"""What can be wrong with a request about orders.

DashboardError
├── NotFound
│   └── OrderNotFound         404
├── Conflict
│   ├── WrongState            409
│   └── RequestInFlight       409
└── InvalidInput
    └── IdempotencyKeyReused  422
"""

from typing import ClassVar, Self
from uuid import UUID

from shared.errors import Conflict, InvalidInput, NotFound
from shared.http.examples import BY_FORMAT


class OrderNotFound(NotFound):
    code, title = "order_not_found", "No such order"

    def __init__(self, order_id: UUID) -> None:
        super().__init__(f"order {order_id} does not exist")

    @classmethod
    def example(cls) -> Self:
        return cls(UUID(BY_FORMAT["uuid"]))


class WrongState(Conflict):
    code, title = "wrong_state", "The order's status does not allow this"

    def __init__(self, current: str, target: str) -> None:
        super().__init__(f"an order that is {current} cannot become {target}")

    @classmethod
    def example(cls) -> Self:
        return cls("cancelled", "paid")


class RequestInFlight(Conflict):
    code, title = "request_in_flight", "The first request with this Idempotency-Key is still in flight"
    headers: ClassVar = {"Retry-After": "1"}


class IdempotencyKeyReused(InvalidInput):
    code, title = "idempotency_key_reused", "This Idempotency-Key was used with another body"

    def __init__(self) -> None:
        message = "was used before, with another body"
        super().__init__(f"Idempotency-Key: {message}", [{"field": "Idempotency-Key", "message": message}])
