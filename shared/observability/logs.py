"""Logs: one JSON object per line on stdout, with the current request and trace id."""

import logging
import re
import sys
from http import HTTPStatus

import structlog
from structlog.typing import Processor

from shared.config.settings import ServiceSettings
from shared.observability import telemetry
from shared.observability.request_log import RequestLog


def _name_request(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return telemetry.request_ids() | dict(event)


_CREDENTIALS = re.compile(r"(?<=://)[^/\s@'\"]+(?=@)")
_ADDRESS = re.compile(r"[\w.!#$%&*+/=?^`{|}~-]+@[\w-]+(?:\.[\w-]+)+")
_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*|\bdsh_[0-9A-Za-z]{36}\b")
HIDDEN = "[hidden]"


def conceal(text: str) -> str:
    """Return the text without mail addresses, tokens, API keys, and credentials in URLs.

    No code logs them deliberately, but the message of a library's exception may quote its input.
    """
    text = _TOKEN.sub(HIDDEN, _CREDENTIALS.sub(HIDDEN, text))
    return _ADDRESS.sub(HIDDEN, text) if "@" in text else text


def _conceal(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    return {name: conceal(value) if isinstance(value, str) else value for name, value in event.items()}


SHARED_PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    _name_request,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
]


_REQUESTS = "shared.http.application"
_log = structlog.stdlib.get_logger(_REQUESTS)
_level = logging.getLogger(_REQUESTS)
_requests: RequestLog | None = None


def configure(service: str, settings: ServiceSettings) -> None:
    """Send structlog's and the standard library's records through one formatter to stdout."""
    # Not rich's traceback: it prints every local variable, including passwords, and blocks the loop meanwhile.
    render: list[Processor] = (
        [_conceal, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if settings.log_format == "console"
        else [structlog.processors.format_exc_info, _conceal, structlog.processors.JSONRenderer()]
    )

    def name_service(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        return {"service": service, **event}

    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=SHARED_PROCESSORS,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, name_service, *render],
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level.upper())
    for noisy in ("aio_pika", "aiormq", "httpx", "uvicorn.error"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if settings.log_format == "json":
        global _requests  # like the handlers of the root logger, one for the process
        _requests = RequestLog(service, _REQUESTS)
    structlog.configure(
        processors=[*SHARED_PROCESSORS, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def log_request(method: str, route: str, status: int, ms: float) -> None:
    """Write the line of an answered request: at once if it failed, otherwise with others."""
    if _requests is None or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        write = _log.warning if status >= HTTPStatus.INTERNAL_SERVER_ERROR else _log.info
        write("request", method=method, route=route, status=status, ms=ms)
    else:
        trace = telemetry.current_trace.get()
        request_id = telemetry.current_request_id.get() or ""
        log_answered(method, route, status, ms, request_id, trace.trace_id if trace else "")


def log_answered(method: str, route: str, status: int, ms: float, request_id: str, trace_id: str) -> None:
    """Do the same for a successful request whose ids are in no context."""
    if not _level.isEnabledFor(logging.INFO):
        return
    if _requests is not None:
        _requests.add(method, route, status, ms, request_id, trace_id)
    else:
        told = {"method": method, "route": route, "status": status, "ms": round(ms, 1)}
        _log.info("request", **told, request_id=request_id, trace_id=trace_id)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger that includes the context of `structlog.contextvars` (request, trace, job)."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
