"""Mails that jobs send, each once as far as SMTP allows (docs/decisions/0012).

@job(on=SendReceipt, attempts=10)
async def send_receipt(task: SendReceipt, mails: Mails) -> Sending | None:
    return await mails.to_user(task.user_id, RECEIPT, number=task.number)
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from services.worker import metrics
from services.worker.email import notification_settings, send_log
from services.worker.email.kinds import OTHER, MailKind
from services.worker.email.messages import Addressee, OutgoingMail, Template, compose
from services.worker.email.send_log import MailLimit, MailState, SendClaim
from services.worker.email.smtp import Mailer
from services.worker.email.smtp_protocol import Phase, Progress, Verdict
from services.worker.email.unsubscribe import UnsubscribeLinks
from services.worker.email.users import Users
from services.worker.ledger.job import JobError, Permanent, Suppressed, Transient
from shared.contracts.events import Envelope
from shared.contracts.internal_api import Purpose
from shared.contracts.tasks import NOBODY
from shared.db.engine import Connection, Database, is_outage

MAX_UNCERTAIN = 3
"""The maximum number of uncertain attempts; more would annoy a recipient who received all of them."""

CHECK_TIMEOUT_S = 4.0
"""The timeout of the last check; part of the time limit of one mail."""

FIND = "SELECT email, name, verified FROM recipients WHERE user_id = $1"
HOUR_S = 3600

Prepare = Callable[[], Awaitable[OutgoingMail]]
"""Return the mail as it is sent, with what is asked of the users service. Raises `Suppressed`, or the reason why that
is not possible now."""


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


class MailSwitchedOff(Suppressed):
    """Its recipient does not want mails of this kind."""


class _Withdrawn(Exception):
    """The recipient was deleted after the mail was claimed."""


@dataclass(slots=True)
class Sending:
    """One attempt at one mail: the external effect of a job. `prepare` replaces the mail before it is sent."""

    mailer: Mailer
    mail: OutgoingMail
    claim: SendClaim
    lease_s: float
    progress: Progress = field(default_factory=Progress)
    withdrawn: bool = False
    prepare: Prepare | None = None

    async def run(self, db: Database) -> None:
        if self.prepare:
            self.mail = await self.prepare()

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
        withdrawn = self.withdrawn or isinstance(failure, Suppressed)
        state = MailState.WITHDRAWN if withdrawn else state_of(self.progress.verdict, failure)
        reply = self.progress.reply or failure
        await send_log.settle(connection, self.claim, state, str(reply) if reply else None)
        if not withdrawn:
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


@dataclass(frozen=True, slots=True)
class Mails:
    """The mail of one event or task. A job returns what these methods return: it is sent after the job's transaction,
    and recorded with the job.

    An event has one mail. A job that sends a second one for the same event adds a task for it.
    """

    mailer: Mailer
    sender: str
    lease_s: float
    links: UnsubscribeLinks
    connection: Connection
    envelope: Envelope
    users: Users
    limit: MailLimit | None = None

    async def to_user(self, user_id: UUID, template: Template, **values: object) -> Sending | None:
        """Write to a user of the dashboard; None if they are deleted. A mail to an address that is not verified is
        suppressed when it would be sent, and one beyond the limit of mails to a recipient is postponed.

        Raises `RecipientUnknown`, and the errors of `to_address`.
        """
        row = await self.connection.fetchrow(FIND, user_id)
        if row is None:
            raise RecipientUnknown(str(user_id))
        if row["email"] is None:  # deleted in the meantime
            return None
        to = Addressee(row["email"], row["name"])
        mail = await self._compose(user_id, template, values, to)

        async def verified() -> OutgoingMail:
            await self.users.check_verified(user_id, to.email)
            return mail

        # The event of the verification may be on its way: the users service decides.
        return await self._claim(user_id, to, mail, None if row["verified"] else verified, self.limit)

    async def to_address(self, address: str, template: Template, *, name: str = "", **values: object) -> Sending | None:
        """Write to an address; None if the mail is sent already. Raises `MailInHand`, `MailNotWritable` and
        `MailSwitchedOff`.

        The settings are those of the user whom the event concerns.
        """
        user_id, to = self.envelope.event.user_id, Addressee(address, name)
        return await self._claim(user_id, to, await self._compose(user_id, template, values, to))

    async def with_link(self, purpose: Purpose, address: str, template: Template) -> Sending | None:
        """Write to the address of an account, verified or not, with a link in the values `link` and `hours`. The link
        is created when the mail is sent, so that nothing else contains it. Raises the errors of `to_address`."""
        user_id, to = self.envelope.event.user_id, Addressee(address, "")

        async def with_link() -> OutgoingMail:
            link = await self.users.link(user_id, purpose, address)
            values = {"link": link.url, "hours": link.valid_s // HOUR_S}
            return self._written(template, values, to, confidential=(link.url.rpartition("=")[2],))

        return await self._claim(user_id, to, self._written(template, {"link": "", "hours": 0}, to), with_link)

    async def _compose(
        self, user_id: UUID, template: Template, values: Mapping[str, object], to: Addressee
    ) -> OutgoingMail:
        """Compose a mail that its recipient wants. Raises `MailSwitchedOff`, and `MailNotWritable`."""
        unsubscribe = await self._unsubscribe_url(user_id, template.kind or OTHER)
        return self._written(template, values, to, unsubscribe)

    def _written(
        self,
        template: Template,
        values: Mapping[str, object],
        to: Addressee,
        unsubscribe: str | None = None,
        confidential: tuple[str, ...] = (),
    ) -> OutgoingMail:
        return compose(
            self.envelope.id,
            self.envelope.time,
            template,
            values,
            to,
            self.sender,
            public_url=self.links.public_url,
            unsubscribe=unsubscribe,
            confidential=confidential,
        )

    async def _unsubscribe_url(self, user_id: UUID, kind: MailKind) -> str | None:
        """Return the link that ends mails of this kind; None if none can. Raises `MailSwitchedOff`."""
        if not kind.is_optional or user_id == NOBODY:
            return None
        if not await notification_settings.is_wanted(self.connection, user_id, kind):
            await send_log.withdraw(self.connection, user_id, self.envelope.id)
            raise MailSwitchedOff(f"the recipient has switched off mails of the kind {kind.name}")
        return self.links.url(user_id, kind) if self.links.public_url else None

    async def _claim(
        self,
        user_id: UUID,
        to: Addressee,
        mail: OutgoingMail,
        prepare: Prepare | None = None,
        limit: MailLimit | None = None,
    ) -> Sending | None:
        mail_id = self.envelope.id
        claim = await send_log.claim(self.connection, user_id, mail_id, mail.message_id, to.email, self.lease_s, limit)
        return Sending(self.mailer, mail, claim, self.lease_s, prepare=prepare) if claim else None
