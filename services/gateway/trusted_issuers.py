"""The setting `GATEWAY_ISSUERS`: the other issuers whose tokens the gateway accepts, as a JSON list."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator
from pydantic import ValidationInfo as Info

from shared.config.json_list import Text, is_url, parse
from shared.http.tokens import USER_ISSUER, Role

VARIABLE = "GATEWAY_ISSUERS"
DISCOVERY = "/.well-known/openid-configuration"


def _url(value: str) -> str:
    if "#" in value or not is_url(value.partition("?")[0]):
        raise ValueError("must be an http(s) URL without user name and fragment")
    return value


def _issuer(value: str) -> str:
    if value == USER_ISSUER:
        raise ValueError("is the issuer of this system's own tokens, which GATEWAY_JWKS_URL configures")
    return value


def _path(value: str) -> str:
    if not all(value.split(".")):
        raise ValueError("must be the name of a claim, or a path such as realm_access.roles")
    return value


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


ClaimPath = Annotated[Text, AfterValidator(_path)]


class TrustedIssuer(BaseModel):
    """One item of the list. `jwks` is discovered if it is not given. `user_id` and `role` are names of claims, or paths
    to them; `roles` maps values of the claim `role` to roles of this system."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    issuer: Annotated[Text, AfterValidator(_issuer)]
    audience: Annotated[tuple[Text, ...], BeforeValidator(_listed), Field(min_length=1)]
    jwks: Annotated[Text, AfterValidator(_url)] | None = Field(None, validate_default=True)
    user_id: ClaimPath = "sub"
    role: ClaimPath | None = None
    roles: Mapping[Text, Role] = Field({}, validate_default=True)

    @field_validator("jwks")
    @classmethod
    def _found_somewhere(cls, value: str | None, info: Info) -> str | None:
        issuer = info.data.get("issuer")
        if value is None and issuer is not None and not is_url(issuer):
            raise ValueError("is required, because the issuer is not an http(s) URL whose keys can be discovered")
        return value

    @field_validator("roles")
    @classmethod
    def _with_a_claim(cls, value: Mapping[str, Role], info: Info) -> Mapping[str, Role]:
        if "role" in info.data and bool(value) != bool(info.data["role"]):
            raise ValueError("must map values of the claim that `role` names; set both or neither")
        return value

    @property
    def discovery(self) -> str:
        """The URL of the issuer's metadata (OpenID Connect Discovery, section 4)."""
        return self.issuer.rstrip("/") + DISCOVERY


def trusted_issuers(text: str) -> list[TrustedIssuer]:
    """Return the issuers in the setting. Raises `ValueError` that names each wrong item and field."""
    return parse(VARIABLE, TrustedIssuer, text, unique="issuer")
