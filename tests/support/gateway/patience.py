"""Timeouts of a gateway in tests, so long that only tests of a deadline exceed one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.gateway.panels import PANELS

PATIENCE_S = 300.0
"""More than any step takes on a busy machine, and more than `eventually` waits, so that no deadline affects it."""


@contextmanager
def panel_timeouts(seconds: Mapping[str, float]) -> Iterator[None]:
    """In this block, the panels in this process have these timeouts, and `PATIENCE_S` by default."""
    before = {panel.name: panel.timeout_s for panel in PANELS}
    _set(dict.fromkeys(before, PATIENCE_S) | dict(seconds))
    try:
        yield
    finally:
        _set(before)


def _set(seconds: Mapping[str, float]) -> None:
    for panel in PANELS:
        object.__setattr__(panel, "timeout_s", seconds[panel.name])  # panels are frozen
