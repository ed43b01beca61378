"""The tasks of the shop."""

from uuid import UUID

from shared.contracts.tasks import Task


class PackOrder(Task, frozen=True, kw_only=True):
    order_id: UUID


class ConfirmOrder(Task, frozen=True, kw_only=True):
    order_id: UUID
    email: str
