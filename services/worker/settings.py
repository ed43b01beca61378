"""The settings of the worker, which deployments choose, and its tuning, which only tests change."""

from dataclasses import dataclass
from typing import Annotated

from limits import parse
from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from services.worker.email.messages import Mailbox
from shared.config.settings import PageSettings
from shared.downloads.csv_export import ExportSettings
from shared.feature import ServiceTuning
from shared.outbox.relay import ProducerSettings

DAY_S = 24 * 3600


def _within_a_day(notation: str) -> str:
    if notation.strip() and parse(notation).get_expiry() > DAY_S:
        raise ValueError("must be about a day or less, such as 20/hour")
    return notation


def _with_address(sender: str) -> str:
    Mailbox.parse(sender)  # otherwise every mail would fail
    return sender


class Settings(ProducerSettings, ExportSettings, PageSettings):
    model_config = SettingsConfigDict(env_prefix="WORKER_")

    pool_size: int = 30
    """Connections of each of the two pools, at most: more than the jobs use at once, so that panels still get a
    connection."""

    smtp_url: str = "smtp://localhost:25"
    """`smtp://[user:password@]host:port`, with STARTTLS if offered (with a password: always), or `smtps://…`."""
    smtp_connections: int = Field(4, ge=1)
    """Mails sent at once, each over a connection that is reused."""
    mail_from: Annotated[str, AfterValidator(_with_address)] = "Dashboard <no-reply@dashboard.example>"
    """The sender of all mails."""
    mail_limit: Annotated[str, AfterValidator(_within_a_day)] = ""
    """Mails to one recipient, such as `20/hour`; more are sent later. Links and notices of an account are not delayed.
    If empty, there is no limit."""
    users_url: str = "http://127.0.0.1:8001"
    """The users service, which creates the links in mails; several base URLs, separated by commas, are used in turn."""

    jobs: str = ""
    """Modules with jobs of other applications, separated by commas, such as `myapp.jobs`."""

    keep_done_s: float = Field(7 * 24 * 3600, gt=0)
    """How long the ledger remembers finished jobs. An older event that is delivered again becomes a dead letter,
    because it is unknown whether it was processed."""


@dataclass(frozen=True, slots=True)
class Tuning(ServiceTuning):
    """Times and amounts that no deployment changes. Tests pass others to `create_app`."""

    smtp_connect_timeout_s: float = 5
    """The timeout for connecting to the mail server."""
    smtp_command_timeout_s: float = 10
    """The timeout of one reply of the mail server."""
    smtp_answer_timeout_s: float = 20
    """The timeout of the reply to a mail's content. If it is too short, mails are sent twice, because the outcome is
    unknown."""
    smtp_send_timeout_s: float = 25
    """The timeout of one mail, from connecting to the server's last reply."""
    smtp_idle_s: float = 30
    """How long an idle connection is kept."""
    mail_lease_s: float = 30
    """When a mail is taken over from a worker that was killed; longer than sending one may take."""

    reconnect_s: float = 1
    """The pause between two attempts to reach RabbitMQ."""
    watch_interval_s: float = 2
    """How often the consumers of all queues are checked."""
    stall_s: float = 30
    """How long a queue may have messages ready and deliver none before its connection is replaced."""
    stuck_after_s: float = 300
    """How long consumers may be missing or stalled, although RabbitMQ responds, before `/livez` requests a restart."""
    requeue_pause_s: float = 1
    """The pause between two attempts to write the ledger while it cannot be written."""
    hold_s: float = 120
    """How long messages are held in that case. Then they are returned, and none are taken until the ledger can be
    written again."""
    sweep_interval_s: float = 1
    """How often the ledger is searched for due jobs."""


DEFAULTS = Tuning()
