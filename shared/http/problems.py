"""Turns every error into a response: `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, cast

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from shared import errors
from shared.observability import telemetry


def install(app: FastAPI) -> None:
    """Register the handlers of the errors that routes raise; `shared.http.application` catches everything else."""
    app.add_exception_handler(errors.DashboardError, _on_dashboard_error)
    app.add_exception_handler(HTTPException, _on_http_exception)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)


def _respond(body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    body |= telemetry.request_ids()
    return JSONResponse(body, body["status"], dict(headers or {}), media_type="application/problem+json")


def of_error(error: errors.DashboardError) -> Response:
    body = errors.problem(error.status, error.code, error.title, error.detail, errors=error.errors)
    return _respond(body, error.headers)


def of_status(status: int, headers: Mapping[str, str] | None = None) -> Response:
    if status == errors.BodyTooLarge.status:  # whose phrase depends on the version of Python
        return of_error(errors.BodyTooLarge())
    known = HTTPStatus(status)
    code = known.phrase.lower().replace(" ", "_").replace("-", "_")
    return _respond(errors.problem(status, code, known.phrase, known.description or known.phrase), headers)


async def _on_dashboard_error(_: Request, error: Exception) -> Response:
    return of_error(cast("errors.DashboardError", error))


async def _on_http_exception(_: Request, error: Exception) -> Response:
    http = cast("HTTPException", error)
    return of_status(http.status_code, http.headers)


async def _on_invalid_request(_: Request, error: Exception) -> Response:
    found = cast("RequestValidationError", error).errors()
    fields: list[errors.FieldError] = [{"field": _field(e["loc"]), "message": str(e["msg"])} for e in found]
    detail = "; ".join(f"{field['field']}: {field['message']}" for field in fields[:3])
    return of_error(errors.InvalidInput(detail, fields))


def _field(location: tuple[str | int, ...]) -> str:
    """Convert `("body", "items", 0, "quantity")` to `items.0.quantity`; return the location itself if it names no
    field."""
    where, *path = location
    if not path or (where == "body" and all(isinstance(part, int) for part in path)):
        return str(where)
    return ".".join(map(str, path))
