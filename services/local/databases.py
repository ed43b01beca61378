"""One database and one role a service: each role reaches its own database and no other."""

from collections.abc import Mapping

import asyncpg

from services.local.errors import StartError
from services.local.servers.sql import execute, fetch, with_database


def create_databases(url: str, passwords: Mapping[str, str]) -> dict[str, str]:
    """As the role in `url`, which may make roles and databases; the services' URLs. May be run again."""
    try:
        for name, password in passwords.items():
            _create(url, name, password)
    except asyncpg.InsufficientPrivilegeError as error:
        raise StartError(
            f"the role in DATABASE_URL may not set up the databases {', '.join(passwords)} ({error}). "
            "Give it CREATEDB and CREATEROLE, or a superuser's URL."
        ) from error
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise StartError(f"the databases could not be set up: {error}") from error
    return {name: with_database(url, name, name, password) for name, password in passwords.items()}


def _create(url: str, name: str, password: str) -> None:
    known = bool(fetch(url, "SELECT 1 FROM pg_roles WHERE rolname = $1", name))
    verb = "ALTER" if known else "CREATE"
    execute(url, f"{verb} ROLE \"{name}\" LOGIN PASSWORD '{password}'")
    if not fetch(url, "SELECT 1 FROM pg_roles WHERE rolname = current_user AND rolsuper"):
        execute(url, f'GRANT "{name}" TO CURRENT_USER')  # only its members may make a database a role's own
    if not fetch(url, "SELECT 1 FROM pg_database WHERE datname = $1", name):
        execute(url, f'CREATE DATABASE "{name}" OWNER "{name}"')
    execute(url, f'REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC')
