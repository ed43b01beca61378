"""The settings of webhooks, `WORKER_WEBHOOK_…`, and their tuning."""

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.worker.webhooks.address import AddressPolicy, Resolve, resolving
from shared.config.settings import PLACEHOLDER, ServiceSettings

MIN_KEY = 32


class WebhookSettings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="WORKER_")

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


@dataclass(frozen=True, slots=True)
class Network:
    """The outside world: names, and the trusted certificates."""

    resolve: Resolve
    tls: ssl.SSLContext


@asynccontextmanager
async def internet(timeout_s: float) -> AsyncIterator[Network]:
    async with resolving(timeout_s) as resolve:
        yield Network(resolve, ssl.create_default_context())


@dataclass(frozen=True, slots=True)
class WebhookTuning:
    webhook_calls_per_host: int = 4
    """Concurrent calls to one host and port. A host whose last call had no answer, a 429 or a 5xx gets one, and all
    such hosts together half of the slots."""
    webhook_rate_per_host: float = 20
    """Calls to one host and port that one worker starts per second."""
    webhook_connect_timeout_s: float = 5
    """The timeout for resolving the name and connecting."""
    webhook_read_timeout_s: float = 10
    """The longest time without data from the receiver."""
    webhook_total_timeout_s: float = 15
    """The timeout of the whole call."""
    webhook_lease_s: float = 30
    """When a call is repeated whose worker was killed; longer than one may take."""
    webhook_attempts: int = 16
    """The maximum number of calls for one delivery."""
    webhook_backoff_base_s: float = 20
    """The maximum pause after the first attempt. It doubles with each attempt, and a random part of it is waited."""
    webhook_backoff_cap_s: float = 6 * 3600
    """The maximum of all pauses. With 16 attempts the last comes 18 hours after the event on average, and 35 at
    most."""

    network: Callable[[float], AbstractAsyncContextManager[Network]] = internet
    """The network, given the timeout for resolving a name."""
