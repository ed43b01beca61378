"""One psycopg connection a thread, its statement kept prepared: for the frameworks that are not asynchronous."""

import threading
from typing import Any

import psycopg

from tools.lab.bench.peers import effect

_own = threading.local()


def fold(given: dict[str, Any]) -> None:
    """The effect in a transaction of its own."""
    connection = getattr(_own, "connection", None)
    if connection is None:
        connection = _own.connection = psycopg.connect(effect.DATABASE_URL, autocommit=True, prepare_threshold=1)
    connection.execute(effect.PSYCOPG, given)
