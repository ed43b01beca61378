"""The newest spans that the catcher took, in one SQLite file that survives restarts."""

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tools.devstack.system.files import opened

KEPT = 50_000
"""Spans; the oldest go first."""

_TABLE = """
CREATE TABLE IF NOT EXISTS spans (
    id INTEGER PRIMARY KEY AUTOINCREMENT, trace_id TEXT NOT NULL, began INTEGER NOT NULL, content TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS spans_trace_id ON spans (trace_id);
"""


@dataclass(frozen=True)
class Span:
    """Times are nanoseconds of the epoch; `parent_id` is empty where the trace begins. `links` are trace ids."""

    trace_id: str
    span_id: str
    parent_id: str
    service: str
    name: str
    kind: str
    began: int
    ended: int
    failed: bool = False
    attributes: dict[str, Any] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)

    @property
    def ms(self) -> float:
        return (self.ended - self.began) / 1e6


class Traces:
    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, spans: Sequence[Span]) -> None:
        rows = [(span.trace_id, span.began, json.dumps(asdict(span))) for span in spans]
        with opened(self._path) as connection:
            connection.executescript(_TABLE)
            connection.executemany("INSERT INTO spans (trace_id, began, content) VALUES (?, ?, ?)", rows)
            connection.execute("DELETE FROM spans WHERE id <= (SELECT max(id) FROM spans) - ?", (KEPT,))

    def get(self, trace_id: str) -> list[Span]:
        """In the order in which they began; `trace_id` may be the beginning of one."""
        if not self._path.exists():
            return []
        with opened(self._path) as connection:
            connection.executescript(_TABLE)
            return _spans(connection, trace_id)

    def newest(self, count: int) -> list[list[Span]]:
        """Whole traces, the newest first."""
        if not self._path.exists():
            return []
        query = "SELECT trace_id FROM spans GROUP BY trace_id ORDER BY min(began) DESC LIMIT ?"
        with opened(self._path) as connection:
            connection.executescript(_TABLE)
            ids = [trace_id for (trace_id,) in connection.execute(query, (count,))]
            return [_spans(connection, trace_id) for trace_id in ids]


def _spans(connection: sqlite3.Connection, trace_id: str) -> list[Span]:
    query = "SELECT content FROM spans WHERE trace_id LIKE ? || '%' ORDER BY began, id"
    return [Span(**json.loads(content)) for (content,) in connection.execute(query, (trace_id,))]
