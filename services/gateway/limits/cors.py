"""Browser security headers: how to treat responses, and which other sites' scripts may read them."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from services.gateway.settings import Settings
from shared.http import problems

READABLE = (
    "Content-Disposition",
    "Dashboard-Complete",
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "Server-Timing",
    "X-Request-Id",
    "traceresponse",
)
MAX_AGE_S = 600
"""How long a browser caches the permissions."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ASKED = (
    "Authorization",
    "Cache-Control",
    "Content-Type",
    "Idempotency-Key",
    "If-None-Match",
    "X-Request-Id",
    "traceparent",
)


def security_headers(settings: Settings) -> list[tuple[bytes, bytes]]:
    """The headers of every response whose route sets no others. HSTS is a setting, because it requires HTTPS in
    front."""
    always = {
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Referrer-Policy": "no-referrer",
    }
    if settings.hsts_max_age_s:
        always["Strict-Transport-Security"] = f"max-age={settings.hsts_max_age_s}; includeSubDomains"
    return [(name.lower().encode(), value.encode()) for name, value in always.items()]


class _ProblemCors(CORSMiddleware):
    """A refused preflight is a problem like every other error."""

    def preflight_response(self, request_headers: Headers) -> Response:
        answer = super().preflight_response(request_headers)
        if answer.status_code < HTTPStatus.BAD_REQUEST:
            return answer
        kept = {name: value for name, value in answer.headers.items() if not name.startswith("content-")}
        return problems.of_status(answer.status_code, kept)


def cors(app: ASGIApp, settings: Settings) -> ASGIApp:
    """For the origins in the setting; others get no CORS headers, so browsers withhold the response from them."""
    return _ProblemCors(
        app,
        allow_origins=settings.cors_origins.split(","),
        allow_methods=METHODS,
        allow_headers=ASKED,
        expose_headers=READABLE,
        allow_credentials=settings.cors_credentials,
        max_age=MAX_AGE_S,
    )
