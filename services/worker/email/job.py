"""Sends the confirmation and the shipping mail of an order, once as far as SMTP allows."""

import asyncio
from dataclasses import dataclass, field

from services.worker import metrics
from services.worker.email import send_log
from services.worker.email.messages import Addressee, OutgoingMail, compose
from services.worker.email.send_log import MailState, SendClaim
from services.worker.email.smtp import Mailer
from services.worker.email.smtp_protocol import Phase, Progress, Verdict
from services.worker.jobs import job
from services.worker.ledger.job import JobError, Permanent, Transient
from services.worker.settings import Settings, Tuning
from shared.contracts.events import Envelope, OrderCreated, OrderShipped
from shared.db.engine import Connection, Database, is_outage

MAX_UNCERTAIN = 3
"""The maximum number of uncertain attempts; more would annoy a recipient who received all of them."""

CHECK_TIMEOUT_S = 4.0
"""The timeout of the last check; part of the time limit of one mail."""

FIND = "SELECT email, name FROM recipients WHERE user_id = $1"


class RecipientUnknown(Transient):
    """The order's event has overtaken that of its user."""


class RecipientUnchecked(Transient):
    """The database did not answer the last check. The mail is certainly not sent."""


class MailServerAway(Transient):
    """The server refused, disconnected, did not respond in time, or rejected the login. The mail is certainly not
    sent."""


class MailDeferred(Transient):
    """The server defers this mail (4xx)."""


class MailUncertain(Transient):
    """The content was handed over, and no reply came: sent again, with the same Message-ID."""


class MailLeftUncertain(Permanent):
    """Several times no reply came to the content: an operator decides."""


class MailRefused(Permanent):
    """The server permanently rejects this mail (5xx)."""


class _Withdrawn(Exception):
    """The recipient was deleted after the mail was claimed."""


@dataclass(slots=True)
class Sending:
    """One attempt at one mail: the external effect of the job."""

    mailer: Mailer
    mail: OutgoingMail
    claim: SendClaim
    lease_s: float
    progress: Progress = field(default_factory=Progress)
    withdrawn: bool = False

    async def run(self, db: Database) -> None:
        async def confirm() -> None:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S), db.connection() as connection:
                    wanted = await send_log.has_recipient(connection, self.claim)
            except Exception as error:
                if not is_outage(error):
                    raise
                raise RecipientUnchecked(f"the database: {error!r}") from error
            if not wanted:
                raise _Withdrawn

        try:
            await self.mailer.send(self.mail, self.progress, confirm)
        except _Withdrawn:
            self.withdrawn = True
        else:
            if failure := failure_of(self.progress, self.claim.uncertain_attempts):
                raise failure

    async def settle(self, connection: Connection, failure: Exception | None) -> None:
        state = MailState.WITHDRAWN if self.withdrawn else state_of(self.progress.verdict, failure)
        reply = self.progress.reply or failure
        await send_log.settle(connection, self.claim, state, str(reply) if reply else None)
        if not self.withdrawn:
            metrics.MAILS.labels(self.progress.verdict).inc()


def failure_of(progress: Progress, earlier_doubts: int) -> JobError | None:
    match progress.verdict:
        case Verdict.SENT:
            return None
        case Verdict.REJECTED:
            return MailRefused(str(progress))
        case Verdict.UNCERTAIN:
            return (MailUncertain if earlier_doubts + 1 < MAX_UNCERTAIN else MailLeftUncertain)(str(progress))
        case Verdict.NOT_SENT:
            deferred = progress.phase is not Phase.ACCESS and progress.reply and progress.reply.code // 100 == 4
            return (MailDeferred if deferred else MailServerAway)(str(progress))


def state_of(verdict: Verdict, failure: Exception | None) -> MailState:
    match verdict:
        case Verdict.SENT:
            return MailState.SENT
        case Verdict.UNCERTAIN:
            return MailState.UNCERTAIN
    return MailState.REJECTED if isinstance(failure, Permanent) else MailState.SENDING


@job(
    name="email",
    on=(OrderCreated, OrderShipped),
    attempts=20,
    backoff_base_s=2,
    backoff_cap_s=3600,
    prefetch=16,
    concurrency="smtp_connections",
    deadline_s=3 * 24 * 3600,
    ends_with_user=True,
)
async def send(
    envelope: Envelope, connection: Connection, mailer: Mailer, settings: Settings, tuning: Tuning
) -> Sending | None:
    match envelope.event:
        case OrderCreated(mail=True) | OrderShipped(mail=True) as order:
            pass
        case _:
            return None
    row = await connection.fetchrow(FIND, order.user_id)
    if row is None:
        raise RecipientUnknown(str(order.user_id))
    if row["email"] is None:  # deleted in the meantime
        return None
    mail = compose(envelope, order, Addressee(row["email"], row["name"]), settings.mail_from)
    lease_s = tuning.mail_lease_s
    claim = await send_log.claim(connection, order.user_id, envelope.id, mail.message_id, row["email"], lease_s)
    return Sending(mailer, mail, claim, lease_s) if claim else None
