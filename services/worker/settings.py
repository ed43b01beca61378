"""What the worker is told by its environment."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.worker.email.messages import Mailbox
from services.worker.webhooks.settings import WebhookSettings
from shared.downloads.csv_export import ExportSettings


def _with_address(sender: str) -> str:
    Mailbox.parse(sender)  # else every mail would fail
    return sender


class Settings(WebhookSettings, ExportSettings):
    model_config = SettingsConfigDict(env_prefix="WORKER_")

    pool_size: int = 22
    """Above the sum of what the jobs hold at once, so that panels still get a connection."""

    smtp_url: str = "smtp://localhost:25"
    """`smtp://[user:password@]host:port` with STARTTLS when offered (with a password: only then), or `smtps://...`"""
    smtp_connections: int = Field(4, ge=1)
    """Mails sent at once, each over a connection that is kept for the next."""
    smtp_idle_s: float = Field(30, gt=0)
    """How long a connection is kept without a mail."""
    smtp_connect_timeout_s: float = Field(5, gt=0)
    """For connecting to the mail server."""
    smtp_command_timeout_s: float = Field(10, gt=0)
    """For one answer of the mail server."""
    smtp_answer_timeout_s: float = Field(20, gt=0)
    """For the answer to a mail's content. Too short sends mails twice: nobody knows then whether it was sent."""
    smtp_send_timeout_s: float = Field(25, gt=0)
    """All of one mail, from connecting to the server's last answer."""
    mail_lease_s: float = Field(30, gt=0)
    """When a mail is taken up again whose worker has died; longer than one may take to send."""
    mail_from: Annotated[str, AfterValidator(_with_address)] = "Dashboard <no-reply@dashboard.example>"
    """The sender of the mails."""

    orders_url: str = "http://127.0.0.1:8002"
    """The orders service, which places the orders of an import; several base URLs, separated by commas, in turn."""
    storage_url: str = "file:///var/lib/dashboard/uploads"
    """Where uploaded files are kept: `file:///folder`, or `s3://bucket/prefix?endpoint=http://host:port&region=name`."""
    import_max_bytes: int = Field(1024**3, gt=0)
    """The largest file; a larger one is answered 413."""
    import_per_user_limit: int = Field(100, ge=1)
    """Imports of one user that wait or are carried out; one more is answered 409."""
    import_concurrency: int = Field(2, ge=1)
    """Imports that this process carries out at once."""
    import_window: int = Field(3, ge=1)
    """Batches of one import that are at the orders service at once."""
    import_lease_s: float = Field(30, gt=0)
    """When an import is taken up again whose worker has died."""
    import_orders_timeout_s: float = Field(15, gt=0)
    """For one batch of orders."""
    import_max_errors: int = Field(100_000, ge=0)
    """Errors of rows that are kept for an import; more are only counted."""
    import_keep_s: float = Field(7 * 24 * 3600, gt=0)
    """How long an import that has ended is kept, with its file and its errors."""

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
    def _leases_outlast_their_work(self) -> Self:
        if self.mail_lease_s <= self.smtp_send_timeout_s:
            raise ValueError("WORKER_MAIL_LEASE_S must be longer than WORKER_SMTP_SEND_TIMEOUT_S")
        if self.import_lease_s <= self.import_orders_timeout_s:
            raise ValueError("WORKER_IMPORT_LEASE_S must be longer than WORKER_IMPORT_ORDERS_TIMEOUT_S")
        return self
