"""The facts that the gateway reports to clients.

DashboardError
├── NotFound
│   ├── UserNotFound
│   └── ReportNotFound
├── Unauthenticated
│   └── InvalidAccessToken
├── Forbidden
│   ├── AccountRequired
│   ├── ForeignPage
│   ├── InsufficientScope
│   └── SessionRequired
├── ExportIsPosted   405
├── BodyTooSlow      408
├── TooManyStreams   429
├── RateLimited      429
└── Unavailable
    ├── NoPanelAvailable
    ├── KeysUnavailable
    ├── ServiceUnavailable
    ├── GatewayBusy
    ├── AuditUnavailable
    └── OutcomeUnknown   504
"""

from typing import ClassVar

from shared.errors import DashboardError, Forbidden, NotFound, Unauthenticated, Unavailable


class UserNotFound(NotFound):
    code, title = "user_not_found", "No such user"


class ReportNotFound(NotFound):
    code, title = "report_not_found", "No such report"


class InvalidAccessToken(Unauthenticated):
    code, title = "invalid_access_token", "The access token is not valid"
    headers: ClassVar = {"WWW-Authenticate": 'Bearer error="invalid_token"'}


class AccountRequired(Forbidden):
    """The caller's token is of another issuer."""

    code, title = "account_required", "This needs an account of this system"


class ForeignPage(Forbidden):
    code, title = "foreign_page", "Cross-site requests are not allowed here"


class InsufficientScope(Forbidden):
    code, title = "insufficient_scope", "The API key has not the necessary scope"
    headers: ClassVar = {"WWW-Authenticate": 'Bearer error="insufficient_scope"'}


class SessionRequired(Forbidden):
    code, title = "session_required", "API keys may not do this; sign in"


class ExportIsPosted(DashboardError):
    status, code, title = 405, "method_not_allowed", "Request an export by POST, with the current password"
    headers: ClassVar = {"Allow": "POST"}


class BodyTooSlow(DashboardError):
    status, code, title = 408, "body_too_slow", "The request body took too long to arrive"
    headers: ClassVar = {"Connection": "close"}


class TooManyStreams(DashboardError):
    status, code, title = 429, "too_many_streams", "This user has too many open live streams"
    headers: ClassVar = {"Retry-After": "10"}


class RateLimited(DashboardError):
    status, code, title = 429, "rate_limited", "Too many requests"


class KeysUnavailable(Unavailable):
    code, title = "keys_unavailable", "Tokens cannot be verified yet; try again"


class ServiceUnavailable(Unavailable):
    code, title = "service_unavailable", "The service is not responding; the request had no effect, try again"


class GatewayBusy(Unavailable):
    code, title = "overloaded", "Too busy"


class AuditUnavailable(Unavailable):
    code, title = (
        "audit_unavailable",
        "Operator actions must be recorded, and the audit log is unavailable; the request had no effect",
    )


class OutcomeUnknown(Unavailable):
    """Not 503, which means that the request had no effect."""

    status, code, title = 504, "outcome_unknown", "No response in time"
