"""What the worker is told by its environment."""

from email.headerregistry import Address
from email.utils import parseaddr
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.worker.webhooks.settings import WebhookSettings


def _with_address(sender: str) -> str:
    name, address = parseaddr(sender)
    Address(name, addr_spec=address)  # else every mail would fail
    if not address:
        raise ValueError("holds no mail address")
    return sender


class Settings(WebhookSettings):
    model_config = SettingsConfigDict(env_prefix="WORKER_")

    pool_size: int = 20
    """Above the sum of what the jobs hold at once, so that panels still get a connection."""

    smtp_url: str = "smtp://localhost:25"
    """`smtp://[user:password@]host:port` with STARTTLS when offered, or `smtps://...`"""
    smtp_connections: int = Field(4, ge=1)
    """Mails sent at once, each over a connection that is kept for the next."""
    smtp_idle_s: float = Field(30, gt=0)
    """How long a connection is kept without a mail."""
    smtp_connect_timeout_s: float = Field(5, gt=0)
    smtp_command_timeout_s: float = Field(10, gt=0)
    smtp_answer_timeout_s: float = Field(20, gt=0)
    """For the answer to a mail's content. Too short sends mails twice: nobody knows then whether it was sent."""
    smtp_send_timeout_s: float = Field(25, gt=0)
    """All of one mail, from connecting to the server's last answer."""
    mail_lease_s: float = Field(30, gt=0)
    """When a mail is taken up again whose worker has died; longer than one may take to send."""
    mail_from: Annotated[str, AfterValidator(_with_address)] = "Dashboard <no-reply@dashboard.example>"

    reconnect_s: float = Field(1, gt=0)
    """The pause between two attempts to reach RabbitMQ."""
    watch_interval_s: float = Field(2, gt=0)
    """How often it is looked whether every queue has its consumer, and gets on."""
    stall_s: float = Field(30, gt=0)
    """How long a queue may have messages ready and deliver none before its connection is built anew."""
    stuck_after_s: float = Field(300, gt=0)
    """How long consumers may be missing or stalled, though RabbitMQ answers, before `/livez` asks for a restart."""
    requeue_pause_s: float = Field(1, ge=0)
    """The pause between two attempts to write the ledger while it cannot be written."""
    hold_s: float = Field(120, gt=0)
    """How long messages are held meanwhile; then they go back, and none are taken until it can be written again."""
    sweep_interval_s: float = Field(1, gt=0)
    """How often the ledger is searched for jobs that are due again."""
    keep_done_s: float = Field(7 * 24 * 3600, gt=0)
    """How long the ledger remembers what is done. An older event of which it knows nothing is dead, not done."""
    purge_interval_s: float = Field(60, gt=0)
    """How often rows older than that are deleted."""

    @model_validator(mode="after")
    def _lease_outlasts_sending(self) -> Self:
        if self.mail_lease_s <= self.smtp_send_timeout_s:
            raise ValueError("WORKER_MAIL_LEASE_S must be longer than WORKER_SMTP_SEND_TIMEOUT_S")
        return self
