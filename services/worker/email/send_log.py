"""The send log: the state of each mail, since the mail server has no transaction with us.

A mail is claimed before it is sent, in the transaction that processes its event, and settled afterwards. A claim whose
lease expires unsettled was interrupted at an unknown point: the mail is sent again, with the same Message-ID, and the
row counts such uncertain attempts.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum, auto
from typing import NamedTuple
from uuid import UUID

import limits

from services.worker import metrics
from services.worker.ledger.job import Postponed, Transient
from shared.db.engine import Connection

RESERVE = """
    INSERT INTO mails (user_id, event_id, message_id, recipient, state, lease_until)
    VALUES ($1, $2, $3, $4, 'sending', clock_timestamp() + $5 * interval '1 second')
    ON CONFLICT (user_id, event_id) DO NOTHING RETURNING true
"""
QUEUE = """
    INSERT INTO mails (user_id, event_id, message_id, recipient, state, attempts, send_after)
    VALUES ($1, $2, $3, $4, 'sending', 0, $5)
"""
FIND = """
    SELECT state, attempts, uncertain_attempts, lease_until, lease_until > clock_timestamp() AS leased,
        CASE WHEN send_after > clock_timestamp() THEN send_after END AS waits_until
    FROM mails WHERE user_id = $1 AND event_id = $2 FOR UPDATE
"""
RESERVE_AGAIN = """
    UPDATE mails SET state = 'sending', recipient = $3, attempts = $4, uncertain_attempts = $5, updated_at = now(),
        lease_until = clock_timestamp() + $6 * interval '1 second'
    WHERE user_id = $1 AND event_id = $2
"""
SETTLE = """
    UPDATE mails SET state = CASE WHEN $4 = 'sending' AND recipient IS NULL THEN 'withdrawn' ELSE $4 END,
        server_reply = $5, lease_until = NULL, updated_at = now(),
        uncertain_attempts = uncertain_attempts + ($4 = 'uncertain')::integer
    WHERE user_id = $1 AND event_id = $2 AND state <> 'sent' AND (attempts = $3 OR $4 = 'sent')
"""
WITHDRAW = """
    UPDATE mails SET state = CASE WHEN lease_until IS NULL THEN 'withdrawn' ELSE 'uncertain' END, lease_until = NULL,
        updated_at = now()
    WHERE user_id = $1 AND event_id = $2 AND state = 'sending'
        AND (lease_until IS NULL OR lease_until <= clock_timestamp())
"""
HAS_RECIPIENT = "SELECT recipient IS NOT NULL FROM mails WHERE user_id = $1 AND event_id = $2"


# The place of one more mail: the newest `$2` mails, sent or waiting, are in the window that ends there.
LOCK_RECIPIENT = "SELECT pg_advisory_xact_lock(hashtextextended('mails to ' || lower($1), 0))"
FIND_PLACE = """
    SELECT place FROM (
        SELECT coalesce(send_after, created_at) + $3 * interval '1 second' AS place FROM mails
        WHERE lower(recipient) = lower($1) ORDER BY coalesce(send_after, created_at) DESC OFFSET $2 - 1 LIMIT 1
    ) AS oldest WHERE place > clock_timestamp()
"""


class MailLimit(NamedTuple):
    """At most this many mails to one recipient in this time."""

    mails: int
    seconds: float

    @classmethod
    def parse(cls, notation: str) -> "MailLimit | None":
        """Parse the notation of settings, such as `20/hour`; None if empty. Raises `ValueError`."""
        if not notation.strip():
            return None
        item = limits.parse(notation)
        return cls(item.amount, item.get_expiry())


class MailState(StrEnum):
    SENDING = "sending"
    SENT = "sent"
    UNCERTAIN = "uncertain"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"


class Step(Enum):
    NOTHING = auto()
    WAIT = auto()
    SEND = auto()
    SEND_IN_DOUBT = auto()


class MailInHand(Transient):
    """Another worker is sending it."""


@dataclass(frozen=True, slots=True)
class SendClaim:
    """The right to send a mail; `attempt` distinguishes it from earlier claims that may have outlived their lease."""

    user_id: UUID
    event_id: UUID
    attempt: int
    uncertain_attempts: int
    """The number of attempts so far with an uncertain outcome."""


def next_step(state: MailState, leased: bool | None) -> Step:
    """Decide what to do with a mail that was claimed before; `leased` is None once the claim was settled."""
    match state:
        case MailState.SENT | MailState.WITHDRAWN:
            return Step.NOTHING
        case MailState.SENDING if leased is not None:
            return Step.WAIT if leased else Step.SEND_IN_DOUBT
    return Step.SEND


async def claim(
    connection: Connection,
    user_id: UUID,
    event_id: UUID,
    message_id: str,
    recipient: str,
    lease_s: float,
    limit: MailLimit | None = None,
) -> SendClaim | None:
    """Returns None if there is nothing left to send. Raises `MailInHand`, and `Postponed` for a mail beyond the limit,
    which has its place from then on."""
    if limit and (place := await _place(connection, user_id, event_id, recipient, limit)):
        await connection.execute(QUEUE, user_id, event_id, message_id, recipient, place)
        raise Postponed(place)
    if await connection.fetchval(RESERVE, user_id, event_id, message_id, recipient, lease_s):
        return SendClaim(user_id, event_id, 1, 0)
    [row] = await connection.fetch(FIND, user_id, event_id)
    if row["waits_until"]:
        raise Postponed(row["waits_until"])
    step = next_step(MailState(row["state"]), row["leased"])
    if step is Step.NOTHING:
        return None
    if step is Step.WAIT:
        raise MailInHand(f"until {row['lease_until']}")
    if step is Step.SEND_IN_DOUBT:
        metrics.MAILS.labels(MailState.UNCERTAIN).inc()
    doubts = row["uncertain_attempts"] + (step is Step.SEND_IN_DOUBT)
    again = SendClaim(user_id, event_id, row["attempts"] + 1, doubts)
    await connection.execute(RESERVE_AGAIN, user_id, event_id, recipient, again.attempt, doubts, lease_s)
    return again


async def _place(
    connection: Connection, user_id: UUID, event_id: UUID, recipient: str, limit: MailLimit
) -> datetime | None:
    """Return when a mail that is not in the log may be sent, or None if that is now."""
    await connection.execute(LOCK_RECIPIENT, recipient)
    if await connection.fetch(FIND, user_id, event_id):
        return None
    place: datetime | None = await connection.fetchval(FIND_PLACE, recipient, limit.mails, limit.seconds)
    return place


async def has_recipient(connection: Connection, claim: SendClaim) -> bool:
    return bool(await connection.fetchval(HAS_RECIPIENT, claim.user_id, claim.event_id))


async def settle(connection: Connection, claim: SendClaim, state: MailState, server_reply: str | None) -> None:
    """Record the outcome. That a mail was sent is true whichever claim is current; any other outcome counts only for
    the last claim."""
    await connection.execute(SETTLE, claim.user_id, claim.event_id, claim.attempt, state, server_reply)


async def withdraw(connection: Connection, user_id: UUID, event_id: UUID) -> None:
    """Record that a mail whose earlier attempts have not sent it will not be sent, unless one is in flight."""
    await connection.execute(WITHDRAW, user_id, event_id)
