"""docs/reference/configuration.md, from the settings of every process and their own docstrings."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from services.gateway.settings import Settings as GatewaySettings
from services.orders.settings import Settings as OrdersSettings
from services.users.settings import Settings as UsersSettings
from services.worker.settings import Settings as WorkerSettings
from shared.config.secret_files import variable_of
from shared.config.settings import ServiceSettings
from tools.docs.schemas import escaped, one_line, table

SETTINGS: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "users": UsersSettings,
    "orders": OrdersSettings,
    "worker": WorkerSettings,
}
EXAMPLE = Path(__file__).parents[2] / ".env.example"
LINE = re.compile(r"# (\w+)=(.*?)  # (.*)")
UNITS = {"_s": "seconds", "_ms": "milliseconds", "_bytes": "bytes", "_kib": "KiB", "_days": "days"}
BOUNDS = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
HEADS = ("variable", "type", "default", "meaning")
HEAD = """# Configuration

*Written by `make docs` from the settings themselves (`services/*/settings.py`).
[.env.example](../../.env.example) has the same as lines to copy.*

A process is configured by its environment, and reads it when it starts. What is wrong there stops it at once, with the
name of the variable. Nothing but the URLs of databases and broker is required in development; in production
(`ENVIRONMENT`, which is so unless you say otherwise) secrets that are still the placeholder are refused, too.

**Secrets from files.** Every setting here may be in a file instead, named by the same variable with `_FILE` behind it:
`USERS_DATABASE_URL_FILE=/run/secrets/users`. White space around the content is ignored; both at once is refused. Files
of keys are looked at again while the process runs
([how keys are changed](../security.md#changing-keys-without-a-restart)).

"""


class Row(NamedTuple):
    variable: str
    kind: str
    default: str
    meaning: str


def as_page() -> str:
    common = [row for name, row in rows(GatewaySettings) if GatewaySettings.model_fields[name].validation_alias]
    parts = [HEAD, "## Every process\n\n", "The same for all four, without a prefix.\n\n", _table(common)]
    for service, settings in SETTINGS.items():
        own = [row for name, row in rows(settings) if not settings.model_fields[name].validation_alias]
        parts += [f"\n## {service.capitalize()}\n\n", _table(own)]
    parts += [
        "\n## docker compose\n\n",
        "Read by `docker-compose.yml` alone, from `.env`.\n\n",
        _table(list(compose_only())),
    ]
    return "".join(parts)


def rows(settings: type[ServiceSettings]) -> Iterator[tuple[str, Row]]:
    for name, field in settings.model_fields.items():
        row = Row(variable_of(settings, name), kind_of(name, field), _default(field), one_line(field.description or ""))
        yield name, row


def compose_only() -> Iterator[Row]:
    """The section of `.env.example` that no settings class knows."""
    section = EXAMPLE.read_text().split("# docker compose only\n")[1].split("\n\n")[0]
    for line in section.splitlines():
        found = LINE.fullmatch(line)
        if found is None:
            raise ValueError(line)
        yield Row(found[1], "text", f"`{found[2]}`" if found[2] else "empty", found[3])


def kind_of(name: str, field: FieldInfo) -> str:
    """`seconds, above 0`, `text, secret`."""
    kind: Any = field.annotation
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return " · ".join(f"`{choice}`" for choice in get_args(kind))
    if kind is SecretStr:
        return "text, secret"
    if kind is bool:
        return "`true` · `false`"
    if kind is str:
        return "text, with a password" if name in ("database_url", "rabbitmq_url", "redis_url", "smtp_url") else "text"
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
    return ", ".join([unit or {int: "integer", float: "number"}[kind], *_bounds(field)])


def _bounds(field: FieldInfo) -> Iterator[str]:
    for each in field.metadata:
        for key, text in BOUNDS.items():
            if (bound := getattr(each, key, None)) is not None:
                yield text.format(bound)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    value = field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default
    return f"`{value_text(value)}`" if value != "" else "empty"


def value_text(value: object) -> str:
    """As one writes it in an environment."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(found: list[Row]) -> str:
    cells = [(f"`{row.variable}`", escaped(row.kind), escaped(row.default), escaped(row.meaning)) for row in found]
    return table(HEADS, cells)
