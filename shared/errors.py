"""The error family. A service raises the fact; `shared.http.application` turns it into problem+json (RFC 9457).

DashboardError
├── BadRequest        400  the request contradicts itself; names the header
├── InvalidInput      422  what the client sent cannot be accepted; names the field
├── Unauthenticated   401  no credentials, or false ones
├── Forbidden         403  known, but not allowed
├── NotFound          404  does not exist, or not for this caller
├── Conflict          409  contradicts what is stored
└── Unavailable       503  a dependency is away; `Retry-After` says when to come back
"""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12


class FieldError(TypedDict):
    """Which field of the request is wrong (dotted path, such as `items.0.quantity`), and why."""

    field: str
    message: str


class Problem(BaseModel):
    """An error as it goes over the wire: `application/problem+json`."""

    type: str = Field(examples=["urn:dashboard:problem:order_not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(description="the last part of `type`, for programs", examples=["order_not_found"])
    request_id: str | None = None
    trace_id: str | None = Field(None, description="the W3C trace id, which logs and traces know it by")
    errors: list[FieldError] | None = Field(None, description="the fields that were refused")


class DashboardError(Exception):
    """The root; a subclass names a fact and sets what the client is told of it."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Internal error"
    headers: ClassVar[dict[str, str]] = {}

    def __init__(self, detail: str = "", errors: list[FieldError] | None = None) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.errors = errors

    @classmethod
    def of(cls, field: str, message: str) -> Self:
        """The error for one field."""
        return cls(f"{field}: {message}", [{"field": field, "message": message}])


class BadRequest(DashboardError):
    status, code, title = 400, "bad_request", "The request contradicts itself"


class InvalidInput(DashboardError):
    status, code, title = 422, "invalid_input", "The request cannot be accepted"


class Unauthenticated(DashboardError):
    status, code, title = 401, "unauthenticated", "Valid credentials are needed"
    headers: ClassVar = {"WWW-Authenticate": "Bearer"}


class Forbidden(DashboardError):
    status, code, title = 403, "forbidden", "Not allowed for this account"


class NotFound(DashboardError):
    status, code, title = 404, "not_found", "No such resource"


class Conflict(DashboardError):
    status, code, title = 409, "conflict", "This contradicts what is stored"


class Unavailable(DashboardError):
    status, code, title = 503, "unavailable", "A dependency does not answer; try again"
    headers: ClassVar = {"Retry-After": "2"}


def problem(status: int, code: str, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """The body of a problem; members that are None are left out."""
    body = {
        "type": f"urn:dashboard:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return body | {name: value for name, value in more.items() if value is not None}
