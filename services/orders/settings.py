"""The settings of the orders service: environment variables with the prefix `ORDERS_`."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from shared.downloads.csv_export import ExportSettings
from shared.outbox.service import ProducerSettings


class Settings(ProducerSettings, ExportSettings):
    model_config = SettingsConfigDict(env_prefix="ORDERS_")

    lock_timeout_s: float = Field(2, ge=0)
    """How long a request waits for another one that is changing the same order, or using the same idempotency key."""
