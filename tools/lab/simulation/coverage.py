"""The await points of the modules under test: all places at which a task may wait, and so be killed."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
MODULES = (
    "shared/outbox",
    "shared/db/engine.py",
    "services/orders/service.py",
    "services/worker/broker",
    "services/worker/ledger",
    "services/worker/email/sending.py",
    "services/worker/email/smtp.py",
    "services/worker/email/smtp_protocol.py",
    "services/worker/email/send_log.py",
    "services/worker/analytics",
    "services/worker/notifications/job.py",
    "services/worker/recipients",
    "services/worker/live_hints.py",
    "services/gateway/dashboard",
    "services/gateway/upstream/http1.py",
    "services/gateway/upstream/batching.py",
    "services/gateway/live/feed.py",
)
"""What simulations test; their routes and administration are left out."""
LEFT_OUT = ("ledger/admin", "ledger/erasure.py", "ledger/pruner.py", "dashboard/fast_path.py", "dashboard/pending.py")

Point = tuple[str, int]
"""The file, relative to the project, and the line."""


def points() -> set[Point]:
    """Return all await points of the modules under test."""
    return {(str(path.relative_to(ROOT)), line) for path in _files() for line, _ in _lines(path)}


def covered(sampled: Iterable[Point]) -> set[Point]:
    """Return the await points among the places where tasks have waited."""
    spans = {str(path): list(_lines(path)) for path in _files()}
    found = set()
    for name, line in sampled:
        starts = [(start, end) for start, end in spans.get(name, ()) if start <= line <= end]
        if starts:
            innermost = min(starts, key=lambda span: span[1] - span[0])
            found.add((str(Path(name).relative_to(ROOT)), innermost[0]))
    return found


def _files() -> Iterator[Path]:
    for module in MODULES:
        path = ROOT / module
        for each in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            if not any(name in str(each) for name in LEFT_OUT):
                yield each


def _lines(path: Path) -> Iterator[tuple[int, int]]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Await):
            yield node.lineno, node.end_lineno or node.lineno
        elif isinstance(node, ast.AsyncWith) and not all(map(_never_waits, node.items)):
            yield node.lineno, node.items[-1].context_expr.end_lineno or node.lineno
        elif isinstance(node, ast.AsyncFor):
            yield node.lineno, node.iter.end_lineno or node.lineno


def _never_waits(item: ast.withitem) -> bool:
    """Return whether it is `asyncio.timeout`, which is entered and left at once."""
    return ast.unparse(item.context_expr).startswith("asyncio.timeout")
