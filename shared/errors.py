"""The error family. A service raises the error; `shared.http.application` turns it into problem+json (RFC 9457).

DashboardError
├── BadRequest        400  the request contradicts itself; names the header
├── InvalidInput      422  the input is not acceptable; names the field
├── Unauthenticated   401  missing or invalid credentials
├── Forbidden         403  authenticated, but not allowed
├── NotFound          404  does not exist, or not for this caller
├── Conflict          409  contradicts the stored state
├── BodyTooLarge      413  the body is larger than the route allows
├── UnsupportedMediaType 415  the body has another type than the route accepts
└── Unavailable       503  a dependency is down; `Retry-After` says when to retry
"""

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, Field
from typing_extensions import TypedDict  # pydantic needs this one before Python 3.12


class FieldError(TypedDict):
    """The invalid field of the request (dotted path, such as `items.0.quantity`), and the reason."""

    field: Annotated[str, Field(examples=["items.0.quantity"])]
    message: Annotated[str, Field(examples=["Input should be greater than or equal to 1"])]


class Problem(BaseModel):
    """The wire format of an error: `application/problem+json`."""

    type: str = Field(examples=["urn:dashboard:problem:order_not_found"])
    title: str = Field(examples=["No such order"])
    status: int = Field(examples=[404])
    detail: str = Field(examples=["order 01935d2e-7f6a-7c2b-9d51-3f0a4b6c8e10 does not exist"])
    code: str = Field(description="the last part of `type`, for programs", examples=["order_not_found"])
    request_id: str | None = Field(None, examples=["b3f1c2d4"])
    trace_id: str | None = Field(None, description="the W3C trace id, which also appears in logs and traces")
    errors: list[FieldError] | None = Field(None, description="the invalid fields")


class DashboardError(Exception):
    """The root of the family. A subclass names an error and sets what the client sees of it."""

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
        """Create the error for one field."""
        return cls(f"{field}: {message}", [{"field": field, "message": message}])

    @classmethod
    def example(cls) -> Self:
        """Return one as a client may get it, for the OpenAPI document."""
        return cls()


class BadRequest(DashboardError):
    status, code, title = 400, "bad_request", "The request contradicts itself"

    @classmethod
    def example(cls) -> Self:
        return cls.of("Authorization", "must not be repeated")


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


class BodyTooLarge(DashboardError):
    status, code, title = 413, "content_too_large", "The body of the request is too large"


class UnsupportedMediaType(DashboardError):
    status, code, title = 415, "unsupported_media_type", "A body of this type is not accepted here"


class Unavailable(DashboardError):
    status, code, title = 503, "unavailable", "A dependency is not responding; try again"
    headers: ClassVar = {"Retry-After": "2"}


def unknown_parameter(known: Collection[str]) -> str:
    """Return the message about a parameter of the query that is not among `known`."""
    expected = f"the parameters are {', '.join(sorted(known))}" if known else "there are no parameters"
    return f"is not known; {expected}"


def problem(status: int, code: str, title: str, detail: str, **more: Any) -> dict[str, Any]:
    """Return the body of a problem, without members that are None."""
    body = {
        "type": f"urn:dashboard:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return body | {name: value for name, value in more.items() if value is not None}
