"""Settings that every process reads from its environment. Each service adds its own, with its own prefix.

Every text setting may be in a file: `USERS_DATABASE_URL_FILE=/run/secrets/users` instead of `USERS_DATABASE_URL=…`.
Files of keys may change while the process runs: `shared.server.rotation`.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from shared.config.removed import REMOVED, RENAMED, SERVICES

SUFFIX = "_FILE"


PLACEHOLDER = "development-only"
"""A secret, or a URL that contains one, is refused outside development if it contains this word."""

MIN_SECRET = 32

Port = Annotated[int, Field(ge=0, le=65535)]


def _long_enough(secrets: SecretStr) -> SecretStr:
    if any(len(secret.strip()) < MIN_SECRET for secret in secrets.get_secret_value().split(",")):
        raise ValueError(f"each secret must have at least {MIN_SECRET} characters")
    return secrets


class ServiceSettings(BaseSettings):
    """Settings common to all services; a subclass sets `env_prefix` (`USERS_`, ...).

    Fields with an alias have no prefix: they are the same for every service. Text settings may be read from a file,
    named by the same variable with the suffix `_FILE`. The docstring of a field is its description in
    docs/reference/configuration.md.
    """

    model_config = SettingsConfigDict(populate_by_name=True, extra="ignore", use_attribute_docstrings=True)

    environment: Literal["development", "production"] = Field("production", validation_alias="ENVIRONMENT")
    """Production refuses placeholder secrets and settings that are only for trying things out."""
    log_level: str = Field("INFO", validation_alias="LOG_LEVEL")
    """`DEBUG`, `INFO`, `WARNING` or `ERROR`."""
    log_format: Literal["json", "console"] = Field("json", validation_alias="LOG_FORMAT")
    """`json`, or `console` for reading in a terminal."""
    internal_token_secret: Annotated[SecretStr, AfterValidator(_long_enough)] = Field(
        SecretStr(f"{PLACEHOLDER}-internal-token-secret"), validation_alias="INTERNAL_TOKEN_SECRET"
    )
    """The secret by which the services authenticate each other, the same for all; at least 32 characters. Several,
    separated by commas: the first signs, all verify."""

    otel_exporter_otlp_endpoint: str = Field("", validation_alias="OTEL_EXPORTER_OTLP_ENDPOINT")
    """Base URL of the collector that traces are sent to (OTLP over HTTP), such as `http://tempo:4318`. If empty,
    nothing is recorded."""
    trace_sample: float = Field(0.01, ge=0, le=1, validation_alias="TRACE_SAMPLE")
    """The share of traces beginning here that is recorded, from 0 to 1."""

    host: str = Field("127.0.0.1", validation_alias="LISTEN_HOST")
    """The address to listen on."""
    port: Port = 8000
    """The port to listen on; 0 chooses a free one."""
    shutdown_grace_s: float = Field(10, gt=0, validation_alias="SHUTDOWN_GRACE_S")
    """How long requests and jobs in flight may take to finish after SIGTERM."""
    drain_s: float = Field(0.2, ge=0, validation_alias="DRAIN_S")
    """How long idle connections are kept open after SIGTERM, before the grace period: longer than clients keep them
    idle, so that no request is lost. It ends as soon as no connection is left. Behind a proxy, or with replicas:
    2."""

    @model_validator(mode="after")
    def _refuse_placeholders(self) -> Self:
        if self.environment == "development":
            return self
        for name in type(self).model_fields:
            value = getattr(self, name)
            secret = value.get_secret_value() if isinstance(value, SecretStr) else value
            if isinstance(secret, str) and PLACEHOLDER in secret:
                variable = variable_of(type(self), name)
                raise ValueError(f"{variable} is still the placeholder; set it, or ENVIRONMENT=development")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the framework's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, FileSource(settings_cls), env_settings, RenamedSource(settings_cls)


_WEB_ADDRESS = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(/[A-Za-z0-9._~/-]*)?")
LOCAL_PAGE = "http://127.0.0.1:8000"


def _web_address(url: str) -> str:
    """Return an address that can be written into headers and begin links."""
    if url and not _WEB_ADDRESS.fullmatch(url):
        raise ValueError("must be an http or https URL without query and fragment, in ASCII")
    return url.rstrip("/")


class PageUnknown(Exception):
    def __init__(self) -> None:
        super().__init__("PUBLIC_URL is not set: mails have no links, and those that need one wait")


class PageSettings(ServiceSettings):
    """The settings of a service that writes links to the page, never from the `Host` header of a request."""

    public_url: Annotated[str, AfterValidator(_web_address)] = Field("", validation_alias="PUBLIC_URL")
    """The address of the web page, such as `https://dashboard.example.com`: links in mails lead there. If it is empty
    in production, mails have no links, mails that need one wait, and `/readyz` says so; in development it is
    `http://127.0.0.1:8000` then."""

    @property
    def page(self) -> str | None:
        """The address of the web page without a slash at its end, if it is known."""
        return self.public_url or (LOCAL_PAGE if self.environment == "development" else None)

    async def check_page(self) -> None:
        """For readiness. Raises `PageUnknown`."""
        if self.page is None:
            raise PageUnknown


def variable_of(settings: type[BaseSettings], name: str) -> str:
    """Return the environment variable of a setting."""
    alias = settings.model_fields[name].validation_alias
    return str(alias or f"{settings.model_config.get('env_prefix', '')}{name}".upper())


def file_of(settings: type[BaseSettings], name: str) -> Path | None:
    """Return the file from which a setting is read, if any."""
    path = os.environ.get(variable_of(settings, name) + SUFFIX)
    return Path(path) if path else None


def read_file(variable: str, path: Path) -> str:
    """Return the content of the file without surrounding white space. Raises `ValueError` that names the variable."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as unreadable:
        raise ValueError(f"{variable}{SUFFIX}: {path} cannot be read: {unreadable}") from unreadable


def environment(variable: str) -> str | None:
    """Return a setting that is needed outside of any service, from its variable or its file."""
    path = os.environ.get(variable + SUFFIX)
    return read_file(variable, Path(path)) if path else os.environ.get(variable)


class _Source(PydanticBaseSettingsSource):
    """Read all fields of the settings that have a value here."""

    def __call__(self) -> dict[str, Any]:
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {key: value for value, key, _ in found if value is not None}


class FileSource(_Source):
    """Read `…_FILE` variables. Setting a variable and its file is an error, because it is unclear which one applies."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        path = file_of(self.settings_cls, field_name)
        if path is None:
            return None, field_name, False
        variable = variable_of(self.settings_cls, field_name)
        if os.environ.get(variable):
            raise ValueError(f"both {variable} and {variable}{SUFFIX} are set; set one of them")
        alias = self.settings_cls.model_fields[field_name].validation_alias
        return read_file(variable, path), str(alias or field_name), False


class RenamedSource(_Source):
    """Read a setting from the variable that one service used for it in earlier versions."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        alias = str(field.validation_alias or field_name)
        prefix = self.settings_cls.model_config.get("env_prefix", "")
        old = (name for name, new in RENAMED.items() if new == alias and prefix and name.startswith(prefix))
        return next((value for name in old if (value := environment(name)) is not None), None), alias, False


def obsolete(variables: Mapping[str, str], service: str) -> Iterator[str]:
    """Return the variables of earlier versions, or of their files, that are set for this service or for all of them."""
    others = tuple(f"{name}_" for name in SERVICES if name != service.upper())
    for name in sorted(variables):
        known = name.removesuffix(SUFFIX)
        if (known in REMOVED or known in RENAMED) and not name.startswith(others):
            yield name
