"""docs/reference/configuration.md and `.env.example`, from the settings of every process and their own docstrings."""

import re
import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from shared.config.settings import ServiceSettings, variable_of
from shared.feature import settings_of
from tools.docs.schemas import escaped, one_line, table

SETTINGS: list[type[ServiceSettings]] = [
    kind for service in ("gateway", "users", "orders", "worker") for kind in settings_of(f"services.{service}")
]
EXAMPLE = Path(__file__).parents[2] / ".env.example"
LINE = re.compile(r"# (\w+)=(.*?)  # (.*)")
UNITS = {"_s": "seconds", "_ms": "milliseconds", "_bytes": "bytes"}
BOUNDS = {"ge": "from {}", "gt": "above {}", "le": "up to {}", "lt": "below {}"}
HEADS = ("variable", "type", "default", "meaning")
WITH_PASSWORD = ("database_url", "listen_database_url", "rabbitmq_url", "redis_url", "smtp_url")


class Group(NamedTuple):
    """Settings that belong to one task of an operator."""

    title: str
    intro: str
    variables: str


GROUPS = (
    Group("Choose the environment", "", "ENVIRONMENT"),
    Group(
        "Connect the services",
        "Where the gateway and the worker find the other services.",
        "GATEWAY_PANELS_FILE GATEWAY_JWKS_URL WORKER_USERS_URL WORKER_ORDERS_URL",
    ),
    Group(
        "Connect Postgres, RabbitMQ, Redis and file storage",
        "The URLs of databases and broker are required. For storage that begins with `s3://`, the S3 client also reads "
        "its own variables, such as `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`.",
        "USERS_DATABASE_URL ORDERS_DATABASE_URL WORKER_DATABASE_URL USERS_LISTEN_DATABASE_URL "
        "ORDERS_LISTEN_DATABASE_URL WORKER_LISTEN_DATABASE_URL GATEWAY_RABBITMQ_URL USERS_RABBITMQ_URL "
        "ORDERS_RABBITMQ_URL WORKER_RABBITMQ_URL GATEWAY_REDIS_URL WORKER_STORAGE_URL",
    ),
    Group(
        "Set secrets",
        "Production refuses the placeholders. `make env` writes a `.env` with fresh secrets.",
        "INTERNAL_TOKEN_SECRET USERS_SIGNING_KEYS WORKER_WEBHOOK_SECRET_KEYS",
    ),
    Group(
        "Listen and shut down",
        "Each process listens on its own port. See [rolling upgrades](../upgrading.md) for the order of a shutdown.",
        "LISTEN_HOST GATEWAY_PORT USERS_PORT ORDERS_PORT WORKER_PORT GATEWAY_INTERNAL_PORT DRAIN_S SHUTDOWN_GRACE_S",
    ),
    Group(
        "Serve browsers over HTTPS",
        "",
        "GATEWAY_SECURE_COOKIES GATEWAY_HSTS_MAX_AGE_S GATEWAY_TRUSTED_PROXIES GATEWAY_CORS_ORIGINS "
        "GATEWAY_CORS_CREDENTIALS",
    ),
    Group(
        "Manage accounts and sessions",
        "",
        "ACCESS_TOKEN_TTL_S REFRESH_TOKEN_TTL_S USERS_SESSION_LIFETIME_S USERS_OIDC_PROVIDERS GATEWAY_ISSUERS",
    ),
    Group(
        "Send mail",
        "",
        "PUBLIC_URL WORKER_SMTP_URL WORKER_MAIL_FROM WORKER_MAIL_LIMIT WORKER_SMTP_CONNECTIONS USERS_MAIL_SMTPUTF8",
    ),
    Group(
        "Call webhooks",
        "",
        "WORKER_WEBHOOK_ALLOW_HTTP WORKER_WEBHOOK_PORTS WORKER_WEBHOOK_ALLOWED_NETWORKS WORKER_WEBHOOK_CALLS",
    ),
    Group(
        "Limit requests",
        "Rate limits are written as `10/minute` or `20 per 5 minutes`; an empty value means no limit.",
        "GATEWAY_LIMIT_READ GATEWAY_LIMIT_WRITE GATEWAY_LIMIT_UPLOAD GATEWAY_LIMIT_BATCH GATEWAY_LIMIT_STREAM "
        "GATEWAY_LIMIT_ANONYMOUS GATEWAY_LIMIT_LOGIN_ADDRESS GATEWAY_LIMIT_LOGIN_ACCOUNT GATEWAY_LIMIT_REGISTRATION "
        "UPLOAD_MAX_BYTES GATEWAY_BUDGET_MS GATEWAY_PASS_THROUGH_TIMEOUT_S",
    ),
    Group(
        "Size the processes",
        "Capacities of one process.",
        "GATEWAY_SHED_MOST_IN_HAND GATEWAY_BULKHEAD_CALLS GATEWAY_CACHE_MAX_BYTES USERS_POOL_SIZE ORDERS_POOL_SIZE "
        "WORKER_POOL_SIZE USERS_HASH_THREADS USERS_PICTURE_PROCESSES ORDERS_DOWNLOADS WORKER_DOWNLOADS "
        "WORKER_IMPORT_CONCURRENCY",
    ),
    Group("Run jobs of your own application", "", "WORKER_JOBS"),
    Group(
        "Keep and delete data",
        "",
        "USERS_AUDIT_KEEP_S WORKER_KEEP_DONE_S GATEWAY_LAST_KNOWN_GOOD_MAX_AGE_S",
    ),
    Group(
        "Observe",
        "OpenTelemetry also reads its other `OTEL_EXPORTER_OTLP_*` variables (headers, certificate, compression).",
        "LOG_LEVEL LOG_FORMAT OTEL_EXPORTER_OTLP_ENDPOINT TRACE_SAMPLE GATEWAY_TRACE_TRUSTED",
    ),
)
COMPOSE = {
    "BIND": ("127.0.0.1", "The address on which the gateway is published."),
    "PORT": ("8000", "The port on which the gateway is published; also for `make run`."),
    "POSTGRES_PASSWORD": ("development-only-postgres", "Used in a URL: letters, digits, - and _ only."),
    "USERS_DB_PASSWORD": ("development-only-users", "Used in a URL: letters, digits, - and _ only."),
    "ORDERS_DB_PASSWORD": ("development-only-orders", "Used in a URL: letters, digits, - and _ only."),
    "WORKER_DB_PASSWORD": ("development-only-worker", "Used in a URL: letters, digits, - and _ only."),
    "RABBITMQ_PASSWORD": ("development-only-rabbitmq", "Used in a URL: letters, digits, - and _ only."),
    "GRAFANA_PASSWORD": ("development-only-grafana", "The password of Grafana's admin (`--profile observability`)."),
    "GRAFANA_PORT": ("3000", "The port of Grafana, on this machine only."),
    "METRICS_KEEP": ("30d", "How long Prometheus keeps metrics."),
}
COMPOSE_INTRO = (
    "Read by `docker-compose.yml` alone, from `.env`. Compose also has its own defaults for the URLs above: its own "
    "servers, a mail catcher, and a volume for uploads."
)
HEAD = """# Configuration

*Generated by `make docs` from the settings in the code (`services/*/settings.py`).
[.env.example](../../.env.example) has the same settings as lines to copy.*

A process reads its configuration from its environment when it starts. An invalid value stops it at once, and the
message names the variable. In development only the URLs of databases and broker are required. In production
(`ENVIRONMENT`, the default) placeholder secrets are refused as well.

A prefix names the service that reads a variable: `GATEWAY_`, `USERS_`, `ORDERS_` or `WORKER_`. Variables without one
are the same for all services. What is not listed here is a constant in the code.

**Secrets from files.** Every setting here may be in a file instead, named by the same variable with `_FILE` appended:
`USERS_DATABASE_URL_FILE=/run/secrets/users`. White space around the content is ignored; setting both is refused. Files
of keys are checked for changes while the process runs
([how to change keys](../security.md#changing-keys-without-a-restart)).

**Removed settings.** A process names each variable of an earlier version that is still set in a warning when it starts.
Removed variables are ignored; renamed ones work for one more release. [Upgrading](../upgrading.md#settings) lists both.

"""
EXAMPLE_HEAD = """\
# Generated by `make docs`: every setting, with its default. A process reads its own from its environment. Any of them
# may be in a file instead, named by the same variable with _FILE appended: USERS_DATABASE_URL_FILE=/run/secrets/users.
# Docker Compose reads `.env` and passes every setting in it to its service, except hosts and ports, which
# docker-compose.yml sets. `make env` writes a `.env` with fresh secrets.
"""


class Row(NamedTuple):
    """A setting; `default` is in the notation of an environment variable, None if the setting is required."""

    variable: str
    kind: str
    default: str | None
    meaning: str


def as_page() -> str:
    parts = [HEAD.rstrip("\n") + "\n"]
    for title, intro, rows in sections():
        parts += [f"\n## {title}\n\n", *([textwrap.fill(intro, 120) + "\n\n"] if intro else []), _table(rows)]
    return "".join(parts)


def as_example() -> str:
    """Return the text of `.env.example`."""
    parts = [EXAMPLE_HEAD]
    for title, _, rows in sections():
        parts += [f"\n# {title}\n", *(f"# {row.variable}={row.default or ''}  # {row.meaning}\n" for row in rows)]
    return "".join(parts)


def sections() -> Iterator[tuple[str, str, list[Row]]]:
    """Return each group with its settings. Raises `ValueError` unless every setting is in exactly one group."""
    known = all_rows()
    named = Counter(variable for group in GROUPS for variable in group.variables.split())
    if wrong := [variable for variable in known if named[variable] != 1]:
        raise ValueError(f"not in exactly one group: {', '.join(wrong)}")
    for group in GROUPS:  # a group may name settings of a feature slice that was removed
        if rows := [known[variable] for variable in group.variables.split() if variable in known]:
            yield group.title, group.intro, rows
    yield "Docker Compose", COMPOSE_INTRO, [Row(name, "text", *told) for name, told in COMPOSE.items()]


def all_rows() -> dict[str, Row]:
    """Return every setting of every process by its variable; if several processes read one, the first description is
    used."""
    found: dict[str, Row] = {}
    for settings in SETTINGS:
        for _, row in rows(settings):
            found.setdefault(row.variable, row)
    return found


def rows(settings: type[ServiceSettings]) -> Iterator[tuple[str, Row]]:
    for name, field in settings.model_fields.items():
        row = Row(variable_of(settings, name), kind_of(name, field), _default(field), one_line(field.description or ""))
        yield name, row


def kind_of(name: str, field: FieldInfo) -> str:
    """Return the kind of a setting, such as `seconds, above 0` or `text, secret`."""
    kind: Any = field.annotation
    while get_origin(kind) in (Annotated, Union, UnionType):  # of `… | None`, the first
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        return " · ".join(f"`{choice}`" for choice in get_args(kind))
    if kind is SecretStr:
        return "text, secret"
    if kind is bool:
        return "`true` · `false`"
    if kind is Path:
        return "path"
    if kind is str:
        return "text, with a password" if name in WITH_PASSWORD else "text"
    unit = next((unit for suffix, unit in UNITS.items() if name.endswith(suffix)), "")
    return ", ".join([unit or {int: "integer", float: "number"}[kind], *_bounds(field)])


def _bounds(field: FieldInfo) -> Iterator[str]:
    for each in field.metadata:
        for key, text in BOUNDS.items():
            if (bound := getattr(each, key, None)) is not None:
                yield text.format(bound)


def _default(field: FieldInfo) -> str | None:
    if field.is_required():
        return None
    return value_text(field.default.get_secret_value() if isinstance(field.default, SecretStr) else field.default)


def value_text(value: object) -> str:
    """Return the value in the notation of an environment variable; a file of the project by its path there."""
    if value is None:
        return ""
    if isinstance(value, Path):
        return str(value.relative_to(EXAMPLE.parent))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _table(found: list[Row]) -> str:
    return table(HEADS, [(f"`{row.variable}`", escaped(row.kind), _shown(row), escaped(row.meaning)) for row in found])


def _shown(row: Row) -> str:
    if row.default is None:
        return "**required**"
    return f"`{escaped(row.default)}`" if row.default else "empty"
