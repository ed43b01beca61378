"""How services log in a test's own process, where nothing else has configured it."""

import structlog


def plain_tracebacks() -> None:
    """Format tracebacks without rich, structlog's default: it takes seconds to print the local variables of one
    exception, and blocks the event loop for that long."""
    render = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], render])
