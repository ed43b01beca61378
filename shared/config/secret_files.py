"""Settings that are read from files: `USERS_DATABASE_URL_FILE=/run/secrets/users` in place of `USERS_DATABASE_URL=…`.

So it is with every setting that is text. Files of keys may change while the process runs: `shared.server.rotation`.
"""

import os
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

SUFFIX = "_FILE"


def variable_of(settings: type[BaseSettings], name: str) -> str:
    """The environment variable of a setting."""
    alias = settings.model_fields[name].validation_alias
    return str(alias or f"{settings.model_config.get('env_prefix', '')}{name}".upper())


def file_of(settings: type[BaseSettings], name: str) -> Path | None:
    """The file that a setting is read from, if it is."""
    told = os.environ.get(variable_of(settings, name) + SUFFIX)
    return Path(told) if told else None


def read(variable: str, path: Path) -> str:
    """What the file holds, without white space around it. Raises `ValueError` naming the variable."""
    try:
        return path.read_text().strip()
    except (OSError, UnicodeDecodeError) as unreadable:
        raise ValueError(f"{variable}{SUFFIX}: {path} cannot be read: {unreadable}") from unreadable


def environment(variable: str) -> str | None:
    """A setting that is needed outside of any service: from the variable or from its file."""
    path = os.environ.get(variable + SUFFIX)
    return read(variable, Path(path)) if path else os.environ.get(variable)


class FileSource(PydanticBaseSettingsSource):
    """Reads `…_FILE`. Two sources of one setting are refused: nobody could say which of them counts."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002
        path = file_of(self.settings_cls, field_name)
        if path is None:
            return None, field_name, False
        variable = variable_of(self.settings_cls, field_name)
        if os.environ.get(variable):
            raise ValueError(f"both {variable} and {variable}{SUFFIX} are set; set one of them")
        alias = self.settings_cls.model_fields[field_name].validation_alias
        return read(variable, path), str(alias or field_name), False

    def __call__(self) -> dict[str, Any]:
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {key: value for value, key, _ in found if value is not None}
