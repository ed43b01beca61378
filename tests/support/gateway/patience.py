"""Timeouts of a gateway in tests, so long that only tests of a deadline exceed one."""

from collections.abc import Mapping

from services.gateway.panels import Panels

PATIENCE_S = 300.0
"""More than any step takes on a busy machine, and more than `eventually` waits, so that no deadline affects it."""


def set_timeouts(panels: Panels, seconds: Mapping[str, float]) -> None:
    """Give these panels these timeouts, and `PATIENCE_S` by default."""
    for panel in panels:
        object.__setattr__(panel, "timeout_s", seconds.get(panel.name, PATIENCE_S))  # panels are frozen
