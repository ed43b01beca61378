"""The settings of the users service, `USERS_...`."""

import hashlib
from typing import Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from shared.config.settings import PLACEHOLDER
from shared.http.tokens import SigningKey, b64url
from shared.outbox.service import ProducerSettings

MINUTE_S = 60
DAY_S = 24 * 60 * MINUTE_S


class Settings(ProducerSettings):
    model_config = SettingsConfigDict(env_prefix="USERS_")

    signing_keys: SecretStr = SecretStr(f"{PLACEHOLDER}-signing-key")
    """Ed25519 seeds, 32 bytes each as base64url, separated by commas; the first signs, all are in the JWKS."""
    access_token_ttl_s: int = Field(15 * MINUTE_S, gt=0)
    """The lifetime of an access token; at most `GATEWAY_ACCESS_TOKEN_TTL_S`."""
    refresh_token_ttl_s: int = Field(30 * DAY_S, gt=0)
    """A session that is not refreshed for this long ends."""
    session_lifetime_s: int = Field(90 * DAY_S, gt=0)
    """However often it is refreshed, a session ends after this."""
    mail_smtputf8: bool = False
    """Whether the worker's mail server offers SMTPUTF8 (RFC 6531). Without it, an account cannot have an address
    with a non-ASCII local part: it is answered 422, because mail could not be delivered."""
    audit_keep_s: int = Field(400 * DAY_S, gt=0)
    """How long the audit log is kept."""

    hash_threads: int = Field(2, gt=0, le=64)
    """Threads that hash passwords."""
    hash_queue: int = Field(32, ge=0)
    """Password checks that may wait for a thread; more are answered 503."""
    argon2_time_cost: int = Field(2, gt=0)
    """argon2id: passes."""
    argon2_memory_kib: int = Field(19 * 1024, ge=8)
    """argon2id: memory."""
    argon2_parallelism: int = Field(1, gt=0)
    """argon2id: lanes. The three values are OWASP's minimum recommendation: 20 ms of CPU. RFC 9106's second profile
    (3, 65536, 4) takes 160 ms, and a flood of sign-ins would take that time from all users. A hash with other
    parameters is renewed at the next sign-in."""

    picture_processes: int = Field(2, gt=0, le=64)
    """Pictures that are processed at the same time, each by a process that may use 768 MiB."""
    picture_queue: int = Field(16, ge=0)
    """Pictures that may wait for that, or be uploading; more are answered 503."""

    @property
    def signing_seeds(self) -> list[str]:
        """Validate the setting like `seeds_of`."""
        return seeds_of(self.signing_keys.get_secret_value())

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
