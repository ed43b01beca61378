"""Databases on a Postgres that tests share, and how every Postgres creates them."""

from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit
from uuid import uuid4

from shared.db.migrations import migrate
from tests.support.backends.interface import PostgresBackend
from tools.devstack.system.databases import execute, with_database


class NewDatabase:
    """Creates databases with random names. Each URL is the superuser's."""

    def __init__(self, postgres: PostgresBackend) -> None:
        self._postgres = postgres
        self._templates: dict[str, str] = {}
        self._urls: list[str] = []

    def __call__(self, service: str | None = None) -> str:
        """Create an empty database, or one with a service's tables and no rows (copied from a template)."""
        template = self._template(service) if service else None
        url = self._postgres.create_database(_random_name(service or "empty"), template)
        self._urls.append(url)
        return url

    def drop(self, url: str) -> None:
        self._urls.remove(url)
        self._postgres.drop_database(urlsplit(url).path[1:])

    def close(self) -> None:
        """Drop all remaining databases."""
        for url in list(self._urls):
            self.drop(url)
        for name in self._templates.values():
            self._postgres.drop_database(name)

    def _template(self, service: str) -> str:
        if service not in self._templates:
            name = _random_name(service)
            url = self._postgres.create_database(name)
            with ThreadPoolExecutor(1) as thread:  # the caller may be in a running loop, and Alembic runs its own
                thread.submit(migrate, service, url).result()
            self._templates[service] = name
        return self._templates[service]


def create_database(url: str, name: str, template: str | None = None) -> str:
    source = f' TEMPLATE "{template}" STRATEGY FILE_COPY' if template else ""
    execute(url, f'CREATE DATABASE "{name}"{source}')
    return with_database(url, name)


def drop_database(url: str, name: str) -> None:
    execute(url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _random_name(prefix: str) -> str:
    return f"{prefix}_{uuid4().hex[:12]}"
