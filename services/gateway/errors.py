"""The facts that the gateway reports to clients.

DashboardError
├── NotFound
│   ├── UserNotFound
│   └── ReportNotFound
├── Unauthenticated
│   └── InvalidAccessToken
├── Forbidden
│   └── ForeignPage
├── ExportIsPosted   405
├── BodyTooSlow      408
├── TooManyStreams   429
├── RateLimited      429
└── Unavailable
    ├── NoPanelAvailable
    ├── KeysUnavailable
    ├── ServiceUnavailable
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


class ForeignPage(Forbidden):
    code, title = "foreign_page", "Another site's page may not do this"


class ExportIsPosted(DashboardError):
    status, code, title = 405, "method_not_allowed", "An export is asked for by POST, with the current password"
    headers: ClassVar = {"Allow": "POST"}


class BodyTooSlow(DashboardError):
    status, code, title = 408, "body_too_slow", "The request's body took too long to arrive"
    headers: ClassVar = {"Connection": "close"}


class TooManyStreams(DashboardError):
    status, code, title = 429, "too_many_streams", "Too many live streams of this user are open"
    headers: ClassVar = {"Retry-After": "10"}


class RateLimited(DashboardError):
    status, code, title = 429, "rate_limited", "Too many requests"


class KeysUnavailable(Unavailable):
    code, title = "keys_unavailable", "Tokens cannot be verified yet; try again"


class ServiceUnavailable(Unavailable):
    code, title = "service_unavailable", "The service behind this does not answer; nothing was done, try again"


class AuditUnavailable(Unavailable):
    code, title = "audit_unavailable", "What operators do must be written down, and cannot be; nothing was done"


class OutcomeUnknown(Unavailable):
    """Not 503, of which it is said that nothing was done."""

    status, code, title = 504, "outcome_unknown", "No answer in time"
