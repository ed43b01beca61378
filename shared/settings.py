"""What every process is told by its environment. Each service adds its own with its own prefix."""

from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PLACEHOLDER = "development-only"
"""A secret, or an address with one, that contains this word is refused outside development."""

Port = Annotated[int, Field(ge=0, le=65535)]


class ServiceSettings(BaseSettings):
    """Settings common to all services; a subclass sets `env_prefix` (`USERS_`, ...).

    The four fields with an alias carry no prefix: they are the same for every service.
    """

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore")

    environment: Literal["development", "production"] = Field("production", validation_alias="ENVIRONMENT")
    log_level: str = Field("INFO", validation_alias="LOG_LEVEL")
    log_format: Literal["json", "console"] = Field("json", validation_alias="LOG_FORMAT")
    internal_token_secret: SecretStr = Field(
        SecretStr(f"{PLACEHOLDER}-internal-token-secret"),
        validation_alias="INTERNAL_TOKEN_SECRET",
        min_length=32,
    )

    host: str = "127.0.0.1"
    port: Port = 8000
    shutdown_grace_s: float = Field(10, gt=0)
    """How long requests in hand may take to finish after SIGTERM."""
    max_body_bytes: int = Field(1024 * 1024, gt=0)
    """The largest request body of an ordinary route; a larger one is answered 413."""

    @model_validator(mode="after")
    def _refuse_placeholders(self) -> Self:
        if self.environment == "development":
            return self
        prefix = type(self).model_config.get("env_prefix", "")
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            secret = value.get_secret_value() if isinstance(value, SecretStr) else value
            if isinstance(secret, str) and PLACEHOLDER in secret:
                variable = field.validation_alias or f"{prefix}{name}".upper()
                raise ValueError(f"{variable} is still the placeholder; set it, or ENVIRONMENT=development")
        return self
