"""The settings of the shop, `SHOP_...`."""

from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_")

    database_url: str
    """`postgresql://user:password@host:port/name`"""
    rabbitmq_url: str
    """`amqp://user:password@host:port/vhost`"""
