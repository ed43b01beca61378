"""How tests log, where nothing has configured it."""

import structlog


def plain_tracebacks() -> None:
    """Not rich's, which structlog uses by default: it spends seconds on the local variables of one exception, and the
    event loop stands still for so long."""
    render = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], render])
