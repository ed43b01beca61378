"""The audit log: operators read it, and the gateway adds to it."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from services.users.audit import repository as audit
from shared.contracts.internal_api import AUDIT_PATH, Entry
from shared.db.dependency import DatabaseDep
from shared.http.identity import CallerDep, OperatorDep
from shared.http.openapi import described
from shared.http.pagination import Cursor, Limit, Page, decode_cursor, page_of

router = APIRouter(tags=["operators"])

Action = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00]*$")]


class AuditEntry(BaseModel):
    """One recorded action."""

    model_config = ConfigDict(from_attributes=True)

    id: UUID
    action: str = Field(examples=["signed_in", "POST /v1/orders/{id}/ship"])
    actor_id: UUID | None = Field(description="the actor; null for an anonymous request")
    actor_role: str | None = Field(examples=["user"])
    subject_id: UUID | None = Field(description="the affected account, if known")
    detail: str | None
    address: str | None = Field(description="the address of the client", examples=["203.0.113.7"])
    request_id: str | None = Field(examples=["b3f1c2d4"])
    created_at: datetime


@router.get("/v1/admin/audit", **described("list_audit", "List the audit log"))
async def list_audit(
    _: OperatorDep,
    db: DatabaseDep,
    actor_id: Annotated[UUID | None, Query(description="only what this user did")] = None,
    subject_id: Annotated[UUID | None, Query(description="only what was done to this account")] = None,
    action: Annotated[Action | None, Query(description="only this action", examples=["signed_in"])] = None,
    since: Annotated[AwareDatetime | None, Query(alias="from", description="only at or after this")] = None,
    until: Annotated[AwareDatetime | None, Query(alias="to", description="only before this")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AuditEntry]:
    """Operators: list sign-ins and operator actions, newest first."""
    before = decode_cursor(cursor)
    wanted = {"actor_id": actor_id, "subject_id": subject_id, "action": action}
    async with db.begin() as session:
        rows = await audit.page(session, limit + 1, before, since, until, **wanted)
    items, next_cursor = page_of(rows, limit, lambda row: row.id)
    return Page(items=[AuditEntry.model_validate(row) for row in items], next_cursor=next_cursor)


@router.post(AUDIT_PATH, status_code=HTTPStatus.NO_CONTENT)
async def add_to_audit(body: Entry, caller: CallerDep, db: DatabaseDep) -> None:
    """Record a user's action at another service, which the gateway reports before it is executed."""
    async with db.begin() as session:
        await audit.record(
            session,
            body.action,
            actor=caller.user_id,
            role=caller.role,
            subject=body.subject_id,
            detail=body.detail,
        )
