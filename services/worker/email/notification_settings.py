"""Which mails a user wants: one switch for each kind, stored once it was chosen."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from services.worker.email.kinds import KINDS, MailKind
from services.worker.ledger import erasure
from shared.db.dependency import DatabaseDep
from shared.db.engine import Connection
from shared.errors import FieldError, InvalidInput
from shared.http.identity import CallerDep
from shared.http.openapi import described

DIGEST = "weekly_digest"
"""The kind that has a member of its own in the settings."""
FIND = "SELECT kind, mail FROM notification_settings WHERE user_id = $1"
FIND_ONE = "SELECT mail FROM notification_settings WHERE user_id = $1 AND kind = $2"
STORE = """
    INSERT INTO notification_settings AS kept (user_id, kind, mail)
    SELECT $1, * FROM unnest($2::text[], $3::boolean[])
    ON CONFLICT (user_id, kind) DO UPDATE SET mail = excluded.mail, updated_at = now()
    WHERE kept.mail <> excluded.mail
"""


async def is_wanted(connection: Connection, user_id: UUID, kind: MailKind) -> bool:
    chosen: bool | None = await connection.fetchval(FIND_ONE, user_id, kind.name)
    return kind.is_default if chosen is None else chosen


async def wanted(connection: Connection, user_id: UUID) -> dict[str, bool]:
    """Return the switch of each kind that can be switched off."""
    chosen = {row["kind"]: row["mail"] for row in await connection.fetch(FIND, user_id)}
    return {kind.name: chosen.get(kind.name, kind.is_default) for kind in _optional()}


async def store(connection: Connection, user_id: UUID, switches: Mapping[str, bool]) -> None:
    """Store these choices; nothing about a deleted user. The caller has a transaction."""
    if not await erasure.erased(connection, [user_id]):
        names = sorted(switches)  # always the same order, so that two callers cannot deadlock
        await connection.execute(STORE, user_id, names, [switches[name] for name in names])


def _optional() -> list[MailKind]:
    return [kind for kind in KINDS.values() if kind.is_optional]


class Channels(BaseModel):
    """The ways in which a user is notified of one kind of event."""

    model_config = ConfigDict(extra="forbid", strict=True)

    mail: bool


Kinds = Annotated[dict[str, Channels], Field(examples=[{"order_confirmation": {"mail": True}}])]


class NotificationSettings(BaseModel):
    """`weekly_digest` is null if this system sends none."""

    kinds: Kinds
    weekly_digest: bool | None


class NotificationSettingsChange(BaseModel):
    """What is not named stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    kinds: Kinds = {}
    weekly_digest: bool | None = None

    def switches(self) -> dict[str, bool]:
        """Return the switches that are named. Raises `InvalidInput` for those that do not exist."""
        named = {name: channels.mail for name, channels in self.kinds.items()}
        known = [kind.name for kind in _optional()]
        listed = ", ".join(name for name in known if name != DIGEST)
        errors = [
            FieldError(field=f"kinds.{name}", message=f"cannot be switched; the kinds are {listed}")
            for name in named
            if name not in known or name == DIGEST
        ]
        if self.weekly_digest is not None:
            named[DIGEST] = self.weekly_digest
            if DIGEST not in known:
                errors.append(FieldError(field=DIGEST, message="this system sends none"))
        if errors:
            raise InvalidInput("; ".join(f"{each['field']}: {each['message']}" for each in errors[:3]), errors)
        return named


router = APIRouter(prefix="/v1/me/notification-settings", tags=["notifications"])


@router.get("", **described("read_notification_settings", "Read which mails you receive"))
async def read_notification_settings(caller: CallerDep, db: DatabaseDep) -> NotificationSettings:
    """Return which mails you receive."""
    async with db.connection() as connection:
        return await _read(connection, caller.user_id)


@router.put("", **described("change_notification_settings", "Choose which mails you receive"))
async def change_notification_settings(
    change: NotificationSettingsChange, caller: CallerDep, db: DatabaseDep
) -> NotificationSettings:
    """Choose which mails you receive. What is not named stays as it is."""
    switches = change.switches()
    async with db.connection() as connection, connection.transaction():
        await store(connection, caller.user_id, switches)
        return await _read(connection, caller.user_id)


async def _read(connection: Connection, user_id: UUID) -> NotificationSettings:
    switches = await wanted(connection, user_id)
    digest = switches.pop(DIGEST, None)
    kinds = {name: Channels(mail=mail) for name, mail in switches.items()}
    return NotificationSettings(kinds=kinds, weekly_digest=digest)
