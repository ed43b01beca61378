"""Tasks: commands to the worker. A task has one job, which runs once for each task.

Define one as a frozen struct, and add it in a transaction with `shared.outbox.tasks.DurableTasks`:

    class SendReceipt(Task, frozen=True, kw_only=True):
        order_id: UUID

Its type on the wire is derived from its name: `task.send_receipt`. A task may only gain fields, each with a default;
any other change requires a new class, or a new `version` after all tasks of the old one are done.
"""

import re
from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from shared.contracts import events
from shared.contracts.events import Event

NOBODY = UUID(int=0)
"""The `user_id` of a task that concerns no user."""
_WORD = re.compile(r"(?<!^)(?=[A-Z])")


class DuplicateTask(TypeError):
    """Two classes have the same type on the wire."""


class Task(Event, frozen=True, kw_only=True):
    """A command; `user_id` is the person whom it concerns."""

    category: ClassVar[str] = "task"

    user_id: UUID = NOBODY

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls.type = f"task.{_WORD.sub('_', cls.__name__).lower()}"
        known = events.KINDS.setdefault(cls.type, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise DuplicateTask(f"{cls.__module__}.{cls.__name__} has the type of {known.__module__}: {cls.type}")
        events.KINDS[cls.type] = cls


class Tick(Task, frozen=True, kw_only=True):
    """One run of a schedule. `at` is the time for which it was scheduled, `last_run` that of the previous run."""

    schedule: str
    at: datetime
    last_run: datetime | None = None


class SendAddressVerification(Task, frozen=True, kw_only=True):
    """Mail the link that verifies the address of a new account."""

    email: str


class SendAddressChange(Task, frozen=True, kw_only=True):
    """Mail the link that makes `email` the address of the account, to that address."""

    email: str


class SendPasswordReset(Task, frozen=True, kw_only=True):
    """Mail the link with which the account gets a new password."""

    email: str


class SendSecurityNotice(Task, frozen=True, kw_only=True):
    """Mail what has happened to the account: `email_changed`, `password_changed`, `password_reset`,
    `identity_linked` or `identity_unlinked`.

    `email` is the address that the account had then, and `verified` whether it was verified.
    """

    email: str
    notice: str
    at: datetime
    verified: bool = True
