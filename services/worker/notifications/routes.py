"""Notifications over HTTP."""

from datetime import datetime
from typing import Annotated, Literal, Self
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from services.worker import models
from services.worker.live_hints import Hints
from services.worker.notifications import repository
from shared.db.dependency import DatabaseDep
from shared.errors import NotFound
from shared.http.identity import Caller, CallerDep
from shared.http.openapi import described
from shared.http.pagination import MAX_PAGE, Cursor, Limit, Page, decode_cursor, page_of

router = APIRouter(prefix="/v1/notifications", tags=["notifications"])


class NotificationNotFound(NotFound):
    code, title = "notification_not_found", "No such notification"


class Subject(BaseModel):
    """What a notification is about: `id` is that of the order or import."""

    kind: Literal["order", "import"]
    id: UUID


class Notification(BaseModel):
    id: UUID
    kind: str = Field(examples=["order_paid"])
    title: str = Field(examples=["Order paid"])
    body: str = Field(examples=["Your order of 25.00 EUR is paid."])
    read: bool
    created_at: datetime
    subject: Subject | None = Field(description="null if it is about the account, or older than subjects")

    @classmethod
    def of(cls, row: models.Notification) -> Self:
        subject = {"kind": row.subject_kind, "id": row.subject_id} if row.subject_kind else None
        fields = {name: getattr(row, name) for name in cls.model_fields.keys() - {"subject"}}
        return cls.model_validate({**fields, "subject": subject})


class NotificationCount(BaseModel):
    unread: int = Field(examples=[3])


class ReadUpTo(BaseModel):
    """`up_to` is the id of the newest notification to mark; ids sort by time."""

    model_config = ConfigDict(extra="forbid")

    up_to: UUID


class Unread(BaseModel):
    """`ids` are those of notifications."""

    model_config = ConfigDict(extra="forbid")

    ids: list[UUID] = Field(min_length=1, max_length=MAX_PAGE)


@router.get("", **described("list_notifications", "List your notifications"))
async def list_notifications(
    caller: CallerDep,
    db: DatabaseDep,
    limit: Limit = 20,
    cursor: Cursor = None,
    unread: Annotated[bool, Query(description="only unread ones")] = False,
) -> Page[Notification]:
    """List your own notifications, newest first."""
    before = decode_cursor(cursor)
    async with db.begin() as session:
        rows = await repository.notifications_page(session, caller.user_id, unread=unread, before=before, limit=limit)
    items, next_cursor = page_of(rows, limit, lambda row: row.id)
    return Page(items=[Notification.of(item) for item in items], next_cursor=next_cursor)


@router.get("/count", **described("count_notifications", "Count your unread notifications"))
async def count_notifications(caller: CallerDep, db: DatabaseDep) -> NotificationCount:
    """Count your unread notifications."""
    async with db.begin() as session:
        return NotificationCount(unread=await repository.unread_notifications(session, caller.user_id))


@router.post("/read", **described("mark_notifications_read", "Mark notifications as read"))
async def read_notifications(read: ReadUpTo, caller: CallerDep, db: DatabaseDep, request: Request) -> NotificationCount:
    """Mark a notification and all older ones as read. Newer ones stay unchanged and are counted."""
    async with db.begin() as session:
        await repository.mark_read_up_to(session, caller.user_id, read.up_to)
        unread = await repository.unread_notifications(session, caller.user_id)
    _changed(request, caller)
    return NotificationCount(unread=unread)


@router.post("/unread", **described("mark_notifications_unread", "Mark notifications as unread"))
async def mark_unread(unread: Unread, caller: CallerDep, db: DatabaseDep, request: Request) -> NotificationCount:
    """Mark notifications as unread again: undoes marking them as read. Unknown ids are ignored."""
    async with db.begin() as session:
        await repository.mark_unread(session, caller.user_id, unread.ids)
        count = await repository.unread_notifications(session, caller.user_id)
    _changed(request, caller)
    return NotificationCount(unread=count)


@router.post(
    "/{notification_id}/read",
    **described("mark_notification_read", "Mark a notification as read", NotificationNotFound),
)
async def read_notification(
    notification_id: UUID, caller: CallerDep, db: DatabaseDep, request: Request
) -> Notification:
    """Mark a notification as read."""
    async with db.begin() as session:
        marked = await repository.mark_read(session, caller.user_id, notification_id)
        if marked is None:
            raise NotificationNotFound
    _changed(request, caller)
    return Notification.of(marked)


def _changed(request: Request, caller: Caller) -> None:
    hints: Hints = request.app.state.hints
    hints.changed(caller.user_id, ["notifications"])
