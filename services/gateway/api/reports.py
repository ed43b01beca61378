"""Report downloads: the worker has the definition, and the service that owns the data writes the file."""

from collections.abc import Iterable
from typing import Any, cast, get_args

import httpx
import msgspec
from starlette.datastructures import QueryParams
from starlette.types import Receive, Scope, Send

from services.gateway.container import Gateway, gateway_of
from services.gateway.errors import ReportNotFound, ServiceUnavailable
from services.gateway.openapi.merge import FOR_USERS
from services.gateway.panels import Service
from services.gateway.proxy.forward import ClientBody, ForwardTimeouts, Outgoing, ask, forward
from services.gateway.proxy.headers import has_body, request_headers
from services.gateway.proxy.operations import Operation
from services.gateway.upstream.errors import BadAnswer, UpstreamFailed
from services.gateway.upstream.responses import read_limited
from shared.contracts.reports import CSV, DownloadsBusy, Form, Kind, Report, TooManyDownloads
from shared.errors import InvalidInput, NotFound, Unavailable
from shared.http.application import AsgiRoute
from shared.http.identity import Caller, identity_headers
from shared.http.openapi import add_errors
from shared.http.strict_parameters import Query

OWNERS: dict[Kind, Service] = {"orders": "orders", "analytics": "worker"}
QUERY = Query(frozenset({"form"}))
PATH = "/v1/reports/{id}/download"
MAX_DEFINITION_BYTES = 4096
FORM = {"type": "string", "enum": list(get_args(Form)), "default": "spreadsheet"}
FORM_MEANS = (
    "`spreadsheet`: with a byte order mark and amounts as decimals, for people. "
    "`data`: without a mark and with amounts in minor units, for programs."
)

_decoder = msgspec.json.Decoder(Report)


class Download:
    """Answers in plain ASGI: the owning service's response is streamed through."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = gateway_of(scope)
        if not offered(gateway.catalog.operations):
            raise NotFound
        caller = await gateway.authenticator.caller(scope)
        form = _form(scope["query_string"])
        report = await _definition(gateway, caller, f"/v1/reports/{scope['path_params']['id']}")
        body = ClientBody(receive, expected=has_body(scope["headers"]))
        headers = request_headers(scope["headers"], identity_headers(caller), gateway.addresses.client(scope))
        request = Outgoing(scope["method"], report.target(form), headers, body)
        upstream = gateway.upstreams[OWNERS[report.kind]]
        async with gateway.transfers.of(caller):
            timeouts = ForwardTimeouts(gateway.settings.pass_through_timeout_s, gateway.tuning.client_stall_s)
            await forward(upstream, request, send, timeouts, None)


def _form(query: bytes) -> Form:
    """Raises `InvalidInput`."""
    QUERY.check(query)
    form = QueryParams(query).get("form", "spreadsheet")
    if form not in get_args(Form):
        raise InvalidInput.of("form", f"must be {' or '.join(get_args(Form))}")
    return cast("Form", form)


async def _definition(gateway: Gateway, caller: Caller, target: str) -> Report:
    """Raises `ReportNotFound`, `ServiceUnavailable`."""
    request = Outgoing("GET", target, identity_headers(caller), ClientBody(_nothing, expected=False))
    response = await ask(gateway.upstreams["worker"], request, gateway.settings.pass_through_timeout_s)
    try:
        if response.status_code == httpx.codes.NOT_FOUND:
            raise ReportNotFound
        if response.status_code != httpx.codes.OK:
            raise BadAnswer(f"status {response.status_code}")
        return _decoder.decode(await read_limited(response, MAX_DEFINITION_BYTES))
    except (UpstreamFailed, msgspec.DecodeError) as failure:
        raise ServiceUnavailable from failure
    finally:
        await response.aclose()


async def _nothing() -> Any:
    return {"type": "http.request", "body": b""}


def offered(operations: Iterable[Operation]) -> bool:
    """Return whether there are reports, which are a feature that can be removed."""
    return any(operation.path == "/v1/reports" for operation in operations)


def routes() -> list[AsgiRoute]:
    return [AsgiRoute("/v1/reports/{id:uuid}/download", Download(), methods=["GET"])]


def describe(document: dict[str, Any], operations: Iterable[Operation]) -> None:
    """Add the operation to the gateway's own document."""
    if not offered(operations):
        return
    described: dict[str, Any] = {
        "operationId": "download_report",
        "tags": ["reports"],
        "summary": "Download a report",
        "parameters": [
            {"name": "id", "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}},
            {"name": "form", "in": "query", "required": False, "schema": FORM, "description": FORM_MEANS},
        ],
        "responses": {str(status): response for status, response in CSV.items()},
        "security": FOR_USERS,
    }
    add_errors(described, (ReportNotFound, TooManyDownloads, ServiceUnavailable, DownloadsBusy, Unavailable))
    document["paths"][PATH] = {"get": described}
