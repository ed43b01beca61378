"""The settings of imports, and their tuning."""

from dataclasses import dataclass

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.config.settings import ServiceSettings


class ImportSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="WORKER_")

    orders_url: str = "http://127.0.0.1:8002"
    """The orders service, which places the orders of an import; several base URLs, separated by commas, are used in
    turn."""
    storage_url: str = "file:///var/lib/dashboard/uploads"
    """Where uploaded files are kept: `file:///folder`, or
    `s3://bucket/prefix?endpoint=http://host:port&region=name`."""
    import_max_bytes: int = Field(1024**3 + 1024**2, gt=0, validation_alias="UPLOAD_MAX_BYTES")
    """The largest upload, such as a file to import; a larger one is answered 413."""
    import_concurrency: int = Field(2, ge=1)
    """Imports that one process runs at once."""


@dataclass(frozen=True, slots=True)
class ImportTuning:
    import_keep_s: float = 7 * 24 * 3600
    """How long a finished import is kept, with its file and errors."""
    import_window: int = 3
    """Batches of one import that are at the orders service at once."""
    import_lease_s: float = 30
    """When an import is taken over from a worker that was killed; longer than one batch may take."""
    import_orders_timeout_s: float = 15
    """The timeout of one batch of orders."""
    import_max_errors: int = 100_000
    """Row errors kept for an import; further errors are only counted."""
