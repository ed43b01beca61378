"""The settings of the worker."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.worker.email.messages import Mailbox
from services.worker.webhooks.settings import WebhookSettings
from shared.downloads.csv_export import ExportSettings


def _with_address(sender: str) -> str:
    Mailbox.parse(sender)  # otherwise every mail would fail
    return sender


class Settings(WebhookSettings, ExportSettings):
    model_config = SettingsConfigDict(env_prefix="WORKER_")

    pool_size: int = 22
    """More than all jobs hold together, so that panels still get a connection."""

    smtp_url: str = "smtp://localhost:25"
    """`smtp://[user:password@]host:port` with STARTTLS if offered (required with a password), or `smtps://...`"""
    smtp_connections: int = Field(4, ge=1)
    """Concurrent mails, each over a connection that is kept for the next."""
    smtp_idle_s: float = Field(30, gt=0)
    """How long an idle connection is kept."""
    smtp_connect_timeout_s: float = Field(5, gt=0)
    """The timeout for connecting to the mail server."""
    smtp_command_timeout_s: float = Field(10, gt=0)
    """The timeout of one reply of the mail server."""
    smtp_answer_timeout_s: float = Field(20, gt=0)
    """The timeout of the reply to a mail's content. If it is too short, mails are sent twice, because their state is
    unknown."""
    smtp_send_timeout_s: float = Field(25, gt=0)
    """The timeout of one mail, from connecting to the server's last reply."""
    mail_lease_s: float = Field(30, gt=0)
    """When a mail is taken over from a worker that was killed; longer than sending one may take."""
    mail_from: Annotated[str, AfterValidator(_with_address)] = "Dashboard <no-reply@dashboard.example>"
    """The sender of the mails."""

    orders_url: str = "http://127.0.0.1:8002"
    """The orders service, which places the orders of an import; several base URLs, separated by commas, are used in
    turn."""
    storage_url: str = "file:///var/lib/dashboard/uploads"
    """Where uploaded files are stored: `file:///folder`, or
    `s3://bucket/prefix?endpoint=http://host:port&region=name`."""
    import_max_bytes: int = Field(1024**3, gt=0)
    """The largest file; a larger one is answered 413."""
    import_per_user_limit: int = Field(100, ge=1)
    """Pending and running imports of one user; one more is answered 409."""
    import_concurrency: int = Field(2, ge=1)
    """Imports that this process runs at once."""
    import_window: int = Field(3, ge=1)
    """Batches of one import that are at the orders service at once."""
    import_lease_s: float = Field(30, gt=0)
    """When an import is taken over from a worker that was killed."""
    import_orders_timeout_s: float = Field(15, gt=0)
    """The timeout of one batch of orders."""
    import_max_errors: int = Field(100_000, ge=0)
    """Row errors that are stored per import; more are only counted."""
    import_keep_s: float = Field(7 * 24 * 3600, gt=0)
    """How long an ended import is kept, with its file and its errors."""

    reconnect_s: float = Field(1, gt=0)
    """The pause between two attempts to reach RabbitMQ."""
    watch_interval_s: float = Field(2, gt=0)
    """How often the consumers of all queues are checked for presence and progress."""
    stall_s: float = Field(30, gt=0)
    """How long a queue may have messages ready and deliver none before its connection is replaced."""
    stuck_after_s: float = Field(300, gt=0)
    """How long consumers may be missing or stalled, although RabbitMQ responds, before `/livez` requests a restart."""
    requeue_pause_s: float = Field(1, ge=0)
    """The pause between two attempts to write the ledger while it cannot be written."""
    hold_s: float = Field(120, gt=0)
    """How long messages are held meanwhile; then they are returned, and none are taken until the ledger can be
    written again."""
    sweep_interval_s: float = Field(1, gt=0)
    """How often the ledger is searched for due jobs."""
    keep_done_s: float = Field(7 * 24 * 3600, gt=0)
    """How long the ledger keeps completed jobs. An older event without a row becomes dead instead of being
    processed."""
    purge_interval_s: float = Field(60, gt=0)
    """How often older rows are deleted."""

    @model_validator(mode="after")
    def _leases_outlast_their_work(self) -> Self:
        if self.mail_lease_s <= self.smtp_send_timeout_s:
            raise ValueError("WORKER_MAIL_LEASE_S must be longer than WORKER_SMTP_SEND_TIMEOUT_S")
        if self.import_lease_s <= self.import_orders_timeout_s:
            raise ValueError("WORKER_IMPORT_LEASE_S must be longer than WORKER_IMPORT_ORDERS_TIMEOUT_S")
        return self
