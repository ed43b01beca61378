"""The setting `USERS_OIDC_PROVIDERS`: the OpenID providers with which people can sign in, as a JSON list."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StringConstraints,
    field_validator,
    model_validator,
)

from shared.config.json_list import Text, is_url, parse
from shared.contracts.internal_api import ProviderName

VARIABLE = "USERS_OIDC_PROVIDERS"
DISCOVERY = "/.well-known/openid-configuration"
MAX_TITLE = 40


def _issuer(value: str) -> str:
    if not is_url(value):
        raise ValueError("must be an http(s) URL without user name, query and fragment")
    return value


def _ascii(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if not secret or not secret.isascii() or not secret.isprintable():
        raise ValueError("must be printable ASCII characters")
    return value


class IdentityProvider(BaseModel):
    """One item of the list. `title` is what people read on the button. The secret is given itself, or by the name of
    the file that holds it; a public client has none. `scopes` must contain `openid`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: ProviderName
    title: Annotated[Text, StringConstraints(max_length=MAX_TITLE)]
    issuer: Annotated[Text, AfterValidator(_issuer)]
    client_id: Text
    client_secret: Annotated[SecretStr, AfterValidator(_ascii)] | None = None
    client_secret_file: Path | None = None
    scopes: Annotated[tuple[Text, ...], Field(min_length=1)] = ("openid", "email", "profile")

    @field_validator("scopes")
    @classmethod
    def _has_openid(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in value:
            raise ValueError("must contain openid")
        return value

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if self.client_secret and self.client_secret_file:
            raise ValueError("has client_secret and client_secret_file; give one of them")
        return self

    @property
    def discovery(self) -> str:
        """The URL of the provider's metadata (OpenID Connect Discovery, section 4)."""
        return self.issuer.rstrip("/") + DISCOVERY

    @property
    def is_protected(self) -> bool:
        return self.issuer.startswith("https:")

    def secret(self) -> str:
        """Return the secret of the client; empty for a public one. Raises `ValueError` for an unusable file."""
        if self.client_secret_file:
            try:
                return _ascii(SecretStr(self.client_secret_file.read_text().strip())).get_secret_value()
            except (OSError, ValueError) as unusable:
                raise ValueError(f"{VARIABLE}: client_secret_file of {self.name}: {unusable}") from None
        return self.client_secret.get_secret_value() if self.client_secret else ""


def identity_providers(text: str) -> list[IdentityProvider]:
    """Return the providers in the setting. Raises `ValueError` that names each wrong item and field."""
    return parse(VARIABLE, IdentityProvider, text, unique="name")
