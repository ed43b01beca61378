"""The settings of webhooks: `WORKER_WEBHOOK_…`."""

from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.worker.webhooks.address import AddressPolicy
from shared.config.settings import PLACEHOLDER
from shared.outbox.service import ProducerSettings

DAY_S = 24 * 3600
MIN_KEY = 32


class WebhookSettings(ProducerSettings):
    webhook_secret_keys: SecretStr = SecretStr(f"{PLACEHOLDER}-webhook-secret-key")
    """Keys that encrypt the secrets in the database: long random texts, separated by commas; the first encrypts, all
    decrypt."""
    webhook_allow_http: bool = False
    """Whether plain http may be called too, which is allowed in development."""
    webhook_ports: str = "80,443,8080,8443"
    """Ports of public addresses that may be called, separated by commas."""
    webhook_allowed_networks: str = ""
    """Networks that may be called although they are not public, on any port: `127.0.0.0/8,::1/128` for a receiver on
    this machine. In development only: any user who can register could reach them."""
    webhook_per_user_limit: int = Field(10, ge=1)
    """The maximum number of webhooks per user."""

    webhook_calls: int = Field(32, ge=1)
    """Concurrent calls of one worker."""
    webhook_calls_per_host: int = Field(4, ge=1)
    """Concurrent calls to one host and port; one whose last call had no answer, a 429 or a 5xx gets one, and all
    such hosts together half of the places."""
    webhook_calls_per_user: int = Field(8, ge=1)
    """Concurrent calls for one user."""
    webhook_rate_per_host: float = Field(20, gt=0)
    """Calls to one host and port started per second, by one worker."""
    webhook_connect_timeout_s: float = Field(5, gt=0)
    """The timeout for resolving the name and connecting."""
    webhook_read_timeout_s: float = Field(10, gt=0)
    """The longest time without data from the receiver."""
    webhook_total_timeout_s: float = Field(15, gt=0)
    """The timeout of the whole call."""
    webhook_lease_s: float = Field(30, gt=0)
    """When a call is repeated whose worker was killed; longer than one may take."""
    webhook_answer_bytes: int = Field(4096, ge=0)
    """The part of a response body that is read and discarded before the connection is closed."""

    webhook_attempts: int = Field(16, ge=1)
    """The maximum number of calls for one delivery."""
    webhook_backoff_base_s: float = Field(20, gt=0)
    """The maximum pause after the first call; it doubles with each, and a random part of it is waited."""
    webhook_backoff_cap_s: float = Field(6 * 3600, gt=0)
    """The maximum of all pauses. With 16 attempts the last comes 18 hours after the event on average, and 35 at
    most."""
    webhook_retry_after_max_s: float = Field(3600, ge=0)
    """The maximum `Retry-After` of a 429 or 503 that is honoured."""
    webhook_disable_after_days: float = Field(5, gt=0)
    """A webhook that has failed for this long without a success is disabled."""
    webhook_old_secret_s: float = Field(DAY_S, ge=0)
    """How long a replaced secret still signs, next to the new one."""
    webhook_keep_deliveries_s: float = Field(7 * DAY_S, gt=0)
    """How long completed deliveries are listed, and can be replayed."""

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
        if self.webhook_lease_s <= self.webhook_total_timeout_s:
            raise ValueError("WORKER_WEBHOOK_LEASE_S must be longer than WORKER_WEBHOOK_TOTAL_TIMEOUT_S")
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
