"""How long a gateway of the tests waits for panels: so long that only a test about a deadline meets one."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from services.gateway.panels import PANELS

PATIENCE_S = 300.0
"""More than any step takes on a busy machine, and more than `eventually` waits: no deadline ends what it waits for."""


@contextmanager
def panel_timeouts(seconds: Mapping[str, float]) -> Iterator[None]:
    """Within the block, the panels in this process have these timeouts, and `PATIENCE_S` where none is named."""
    before = {panel.name: panel.timeout_s for panel in PANELS}
    _set(dict.fromkeys(before, PATIENCE_S) | dict(seconds))
    try:
        yield
    finally:
        _set(before)


def _set(seconds: Mapping[str, float]) -> None:
    for panel in PANELS:
        object.__setattr__(panel, "timeout_s", seconds[panel.name])  # panels are frozen
