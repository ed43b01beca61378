"""Creating databases is the same on every Postgres."""

from services.local.servers.sql import execute, with_database


def create_database(url: str, name: str, template: str | None = None) -> str:
    source = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""
    execute(url, f'CREATE DATABASE "{name}"{source}')
    return with_database(url, name)


def drop_database(url: str, name: str) -> None:
    execute(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
