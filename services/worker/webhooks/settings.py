"""The settings of webhooks: `WORKER_WEBHOOK_…`."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.worker.webhooks.address import AddressPolicy
from shared.config.settings import PLACEHOLDER
from shared.outbox.relay import ProducerSettings

MIN_KEY = 32


class WebhookSettings(ProducerSettings):
    webhook_secret_keys: SecretStr = SecretStr(f"{PLACEHOLDER}-webhook-secret-key")
    """Encrypt webhook secrets in the database: random texts of at least 32 characters, separated by commas; the
    first encrypts, all decrypt."""
    webhook_allow_http: bool = False
    """Whether plain http may be called in production too; in development it may."""
    webhook_ports: str = "80,443,8080,8443"
    """Ports of public addresses that may be called, separated by commas."""
    webhook_allowed_networks: str = ""
    """Private networks that may be called on any port, such as `127.0.0.0/8,::1/128` for a receiver on this machine.
    Only for development: any user who can register could reach them."""

    webhook_calls: int = Field(32, ge=1)
    """Concurrent calls of one worker."""

    @property
    def webhook_https_only(self) -> bool:
        return not (self.webhook_allow_http or self.environment == "development")

    @property
    def webhook_keys(self) -> list[str]:
        return [key.strip() for key in self.webhook_secret_keys.get_secret_value().split(",")]

    @property
    def webhook_addresses(self) -> AddressPolicy:
        return AddressPolicy.of(list(map(int, self.webhook_ports.split(","))), _listed(self.webhook_allowed_networks))

    @model_validator(mode="after")
    def _webhooks_are_safe(self) -> Self:
        if any(len(key) < MIN_KEY for key in self.webhook_keys):
            raise ValueError(f"WORKER_WEBHOOK_SECRET_KEYS must be texts of at least {MIN_KEY} characters each")
        if self.webhook_allowed_networks and self.environment != "development":
            raise ValueError("WORKER_WEBHOOK_ALLOWED_NETWORKS is for ENVIRONMENT=development only")
        try:
            _ = self.webhook_addresses
        except ValueError as wrong:
            names = "WORKER_WEBHOOK_PORTS or WORKER_WEBHOOK_ALLOWED_NETWORKS"
            raise ValueError(f"{names} cannot be read: {wrong}") from None
        return self


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
