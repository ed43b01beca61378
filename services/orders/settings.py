"""The settings of the orders service: environment variables with the prefix `ORDERS_`."""

from pydantic_settings import SettingsConfigDict

from shared.downloads.csv_export import ExportSettings
from shared.outbox.relay import ProducerSettings


class Settings(ProducerSettings, ExportSettings):
    model_config = SettingsConfigDict(env_prefix="ORDERS_")
