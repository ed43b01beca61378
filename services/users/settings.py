"""The settings of the users service, `USERS_...`, and the amounts that no deployment changes."""

import hashlib
from dataclasses import dataclass
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.users.identity_providers import VARIABLE, IdentityProvider, identity_providers
from shared.config.settings import PLACEHOLDER, PageSettings
from shared.feature import ServiceTuning
from shared.http.tokens import SigningKey, b64url
from shared.outbox.relay import ProducerSettings

MINUTE_S = 60
DAY_S = 24 * 60 * MINUTE_S


class Settings(ProducerSettings, PageSettings):
    model_config = SettingsConfigDict(env_prefix="USERS_")

    signing_keys: SecretStr = SecretStr(f"{PLACEHOLDER}-signing-key")
    """Ed25519 seeds, 32 bytes each as base64url, separated by commas; the first signs, all are in the JWKS."""
    access_token_ttl_s: int = Field(15 * MINUTE_S, gt=0, validation_alias="ACCESS_TOKEN_TTL_S")
    """How long an access token is valid, and so how long gateways remember its revocation."""
    refresh_token_ttl_s: int = Field(30 * DAY_S, gt=0, validation_alias="REFRESH_TOKEN_TTL_S")
    """A session that is not refreshed for this long ends; browsers keep the page's cookie as long."""
    session_lifetime_s: int = Field(90 * DAY_S, gt=0)
    """A session ends after this, however often it is refreshed."""
    mail_smtputf8: bool = False
    """Whether the worker's mail server offers SMTPUTF8 (RFC 6531). If not, registration answers 422 for an address
    with non-ASCII letters before the @, because no mail could reach it."""
    audit_keep_s: int = Field(400 * DAY_S, gt=0)
    """How long the audit log is kept."""

    oidc_providers: SecretStr = SecretStr("")
    """OpenID providers with which people can sign in: a JSON list, which
    docs/how-to/sign-in-with-your-identity-provider.md describes."""

    hash_threads: int = Field(2, gt=0, le=64)
    """Threads that hash passwords."""

    @property
    def signing_seeds(self) -> list[str]:
        """Validate the setting like `seeds_of`."""
        return seeds_of(self.signing_keys.get_secret_value())

    @property
    def identity_providers(self) -> list[IdentityProvider]:
        """Validate the setting like `identity_providers`."""
        return identity_providers(self.oidc_providers.get_secret_value())

    @model_validator(mode="after")
    def _refuse_unusable_providers(self) -> Self:
        for number, each in enumerate(self.identity_providers, 1):
            each.secret()
            if self.environment == "production" and not each.is_protected:
                raise ValueError(f"{VARIABLE}: item {number}, issuer: must begin with https:// in production")
        return self

    @model_validator(mode="after")
    def _refuse_unusable_keys(self) -> Self:
        try:
            for seed in self.signing_seeds:
                SigningKey(seed)
        except ValueError:
            message = "USERS_SIGNING_KEYS must be base64url seeds of 32 bytes, separated by commas"
            raise ValueError(message) from None
        return self


def seeds_of(keys: str) -> list[str]:
    """Return the seeds; for a placeholder, one derived from it, so that development needs no key."""
    return [_derived(key) if PLACEHOLDER in key else key.strip() for key in keys.split(",")]


def _derived(placeholder: str) -> str:
    return b64url(hashlib.sha256(placeholder.encode()).digest())


@dataclass(frozen=True, slots=True)
class Tuning(ServiceTuning):
    """Amounts that no deployment changes. Tests pass others to `create_app`."""

    argon2_time_cost: int = 2
    """argon2id: passes."""
    argon2_memory_kib: int = 19 * 1024
    """argon2id: memory."""
    argon2_parallelism: int = 1
    """argon2id: lanes. The three values are OWASP's minimum recommendation: 20 ms of CPU. RFC 9106's second profile
    (3, 65536, 4) takes 160 ms, and a flood of sign-ins would take that time from all users. A hash with other
    parameters is renewed at the next sign-in."""
    provider_timeout_s: float = 10.0
    """How long an identity provider may take for all requests that one step of a sign-in needs. Less than gateways wait
    for this service."""
    hash_queue: int = 32
    """Password checks that may wait for a thread; more are answered 503."""


DEFAULTS = Tuning()
