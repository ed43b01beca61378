"""One psycopg connection per thread, with a prepared statement: for the synchronous frameworks."""

import threading
from typing import Any

import psycopg

from tools.lab.bench.peers import effect

_own = threading.local()


def fold(given: dict[str, Any]) -> None:
    """Run the effect in its own transaction."""
    connection = getattr(_own, "connection", None)
    if connection is None:
        connection = _own.connection = psycopg.connect(effect.DATABASE_URL, autocommit=True, prepare_threshold=1)
    connection.execute(effect.PSYCOPG, given)
