"""The settings of the worker."""

from typing import Annotated

from pydantic import AfterValidator, Field
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
    """Connections of each of the two pools, at most: more than the jobs use at once, so that panels still get a
    connection."""

    smtp_url: str = "smtp://localhost:25"
    """`smtp://[user:password@]host:port`, with STARTTLS if offered (with a password: always), or `smtps://…`."""
    smtp_connections: int = Field(4, ge=1)
    """Mails sent at once, each over a connection that is reused."""
    mail_from: Annotated[str, AfterValidator(_with_address)] = "Dashboard <no-reply@dashboard.example>"
    """The sender of all mails."""

    orders_url: str = "http://127.0.0.1:8002"
    """The orders service, which places the orders of an import; several base URLs, separated by commas, are used in
    turn."""
    storage_url: str = "file:///var/lib/dashboard/uploads"
    """Where uploaded files are kept: `file:///folder`, or
    `s3://bucket/prefix?endpoint=http://host:port&region=name`."""
    import_max_bytes: int = Field(1024**3, gt=0)
    """The largest file to import; a larger one is answered 413."""
    import_concurrency: int = Field(2, ge=1)
    """Imports that one process runs at once."""
    import_keep_s: float = Field(7 * 24 * 3600, gt=0)
    """How long a finished import is kept, with its file and errors."""

    keep_done_s: float = Field(7 * 24 * 3600, gt=0)
    """How long the ledger remembers finished jobs. An older event that is delivered again becomes a dead letter,
    because it is unknown whether it was processed."""
