"""Time for a busy machine: what a service waits for its database, and a probe for a dependency, while tests run."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from shared import db, probes

PATIENCE_S = 60.0


@contextmanager
def patient() -> Iterator[None]:
    """In this block a slow answer is not an outage. What is refused or closed still is, at once."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("CONNECT_TIMEOUT_S", "ACQUIRE_TIMEOUT_S"):
            patch.setattr(db, name, PATIENCE_S)
        patch.setattr(probes, "CHECK_TIMEOUT_S", PATIENCE_S)
        yield
