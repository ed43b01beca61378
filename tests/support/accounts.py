"""What happens to an account: the mails that wait for the worker, the audit log, and times that have passed."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from shared.contracts.internal_api import REVOCATIONS_PATH
from shared.db.engine import Database
from tests.support.users import Gateway, Person


async def tasks(db: Database, person: Person) -> list[tuple[str, str]]:
    """Return type and recipient of the mails that wait in the outbox, oldest first."""
    find = "SELECT type, payload->>'email' FROM outbox WHERE user_id = $1 AND type LIKE 'task.%' ORDER BY id"
    async with db.connection() as connection:
        return [(row[0].removeprefix("task.send_"), row[1]) for row in await connection.fetch(find, person.id)]


async def notices(db: Database, person: Person) -> list[tuple[str, str, bool]]:
    """Return notice, recipient, and whether that was verified, of the security notices in the outbox."""
    find = """
        SELECT payload->>'notice', payload->>'email', (payload->>'verified')::boolean FROM outbox
        WHERE user_id = $1 AND type = 'task.send_security_notice' ORDER BY id
    """
    async with db.connection() as connection:
        return [(row[0], row[1], row[2]) for row in await connection.fetch(find, person.id)]


async def actions(gateway: Gateway, person: Person) -> list[str]:
    """Return the newest actions on an account in the audit log, oldest first."""
    query = {"subject_id": str(person.id)}
    answer = await gateway.call(person.having("admin"), "GET", "/v1/admin/audit", params=query)
    return [entry["action"] for entry in reversed(answer.raise_for_status().json()["items"])]


async def profile(gateway: Gateway, person: Person) -> dict[str, Any]:
    shown: dict[str, Any] = (await gateway.call(person, "GET", "/v1/me")).raise_for_status().json()
    return shown


async def revoked(gateway: Gateway) -> set[UUID]:
    """Return the sessions whose access tokens the gateways refuse."""
    answer = (await gateway.http.get(REVOCATIONS_PATH)).raise_for_status().json()
    return set(map(UUID, answer["sessions"]))


async def let_pass(db: Database, time: timedelta) -> None:
    """As if the mails of all addresses had been requested this much earlier."""
    earlier = """
        UPDATE mail_requests
        SET window_began_at = window_began_at - $1::interval, paused_until = paused_until - $1::interval
    """
    async with db.connection() as connection:
        await connection.execute(earlier, time)
