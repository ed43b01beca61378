"""Logs of services that run in a test's own process."""

from collections.abc import Iterator
from contextlib import contextmanager

import structlog


@contextmanager
def plain_logs() -> Iterator[None]:
    """structlog's own default draws each traceback with all its variables, which takes seconds."""
    structlog.configure(processors=[structlog.processors.format_exc_info, structlog.processors.KeyValueRenderer()])
    try:
        yield
    finally:
        structlog.reset_defaults()
