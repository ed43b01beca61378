"""The settings of the orders service, `ORDERS_...`, and the times that no deployment changes."""

from dataclasses import dataclass

from pydantic_settings import SettingsConfigDict

from shared.downloads.csv_export import ExportSettings
from shared.outbox.relay import ProducerSettings


class Settings(ProducerSettings, ExportSettings):
    model_config = SettingsConfigDict(env_prefix="ORDERS_")


@dataclass(frozen=True, slots=True)
class Tuning:
    """Times that no deployment changes. Tests pass others to `create_app`."""

    lock_timeout_s: float = 2
    """How long a request waits for another one that is changing the same order, or using the same idempotency key."""


DEFAULTS = Tuning()
