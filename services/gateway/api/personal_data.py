"""`POST /v1/me/export`: all data stored about a user, collected from every service, as one JSON object. It requires the
password, so that a stolen access token is not enough.

Every service must have started its response before the first byte is sent: a service that cannot makes it a 503, never
an incomplete export. A later failure breaks the whole response off; a complete one ends with `"complete": true`.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
from starlette.types import Receive, Scope, Send

from services.gateway.catalog.catalog import ACCOUNTS, Catalog
from services.gateway.container import Gateway, client_of, gateway_of
from services.gateway.errors import ExportIsPosted, OutcomeUnknown, ServiceUnavailable, UserNotFound
from services.gateway.openapi.merge import FOR_SESSIONS
from services.gateway.panels import Service
from services.gateway.proxy.audit_log import entry_of
from services.gateway.proxy.forward import ClientBody, Outgoing, ResponseCutOff, ask, relay
from services.gateway.proxy.headers import has_body, request_headers
from services.gateway.upstream.errors import UpstreamFailed
from services.gateway.upstream.responses import ServiceResponse
from shared.clock import now, rfc3339
from shared.contracts.account_errors import RecentSignInRequired, WrongPassword
from shared.contracts.internal_api import CONFIRM, CURRENT_PASSWORD, EXPORT
from shared.contracts.internal_api import PERSONAL_DATA_PATH as SOURCE
from shared.errors import NotFound, Unavailable
from shared.http.application import AsgiRoute
from shared.http.identity import Caller, identity_headers
from shared.http.openapi import add_errors
from shared.http.strict_parameters import NO_QUERY
from shared.observability.logs import get_logger
from shared.server.background import until

log = get_logger(__name__)

PATH = EXPORT


class Export:
    """Answers in plain ASGI: the services' responses are streamed through."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gateway = gateway_of(scope)
        if not gateway.catalog.has_accounts:
            raise NotFound
        caller = await gateway.authenticator.caller(scope, session_only=True)
        NO_QUERY.check(scope["query_string"])
        receive = await gateway.passwords.count(scope, receive, caller)
        body = ClientBody(receive, expected=has_body(scope["headers"]))
        if not await _confirmed(gateway, scope, body, caller, send):
            return
        await gateway.audit_log.note(caller, client_of(scope), entry_of("POST", PATH, {}, subject=caller.user_id))
        await until(body.client_gone(), _send(gateway, caller, send))


async def _confirmed(gateway: Gateway, scope: Scope, body: ClientBody, caller: Caller, send: Send) -> bool:
    """Return whether the users service accepts the caller's password in the body; otherwise its response has been
    passed on."""
    headers = request_headers(scope["headers"], identity_headers(caller), client_of(scope))
    response = await ask(
        gateway.upstreams[ACCOUNTS],
        Outgoing("POST", CONFIRM, headers, body),
        gateway.settings.pass_through_timeout_s,
    )
    try:
        if response.is_success:
            return True
        await relay(response, send, gateway.tuning.client_stall_s)
    finally:
        await response.aclose()
    return False


async def _send(gateway: Gateway, caller: Caller, send: Send) -> None:
    async with AsyncExitStack() as stack:
        sources = await _every_source(gateway, stack, caller)
        await _start(send)
        stall_s = gateway.tuning.client_stall_s
        try:
            async for chunk in _object(caller, sources):
                async with asyncio.timeout(stall_s):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except (UpstreamFailed, TimeoutError) as failure:
            raise ResponseCutOff(repr(failure)) from failure
        await send({"type": "http.response.body", "body": b""})


async def _every_source(gateway: Gateway, stack: AsyncExitStack, caller: Caller) -> list[ServiceResponse]:
    """The response of every service. The first that fails cancels the other requests, and its error is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            services = gateway.catalog.internal
            asked = [group.create_task(_source(gateway, stack, service, caller)) for service in services]
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
    return [source.result() for source in asked]


async def _source(gateway: Gateway, stack: AsyncExitStack, service: Service, caller: Caller) -> ServiceResponse:
    """Return a service's part, once its head has arrived. Raises `ServiceUnavailable`."""
    request = Outgoing("GET", SOURCE, identity_headers(caller), ClientBody(_nothing, expected=False))
    response = await ask(gateway.upstreams[service], request, gateway.settings.pass_through_timeout_s)
    stack.push_async_callback(response.aclose)
    if response.status_code != httpx.codes.OK:
        log.warning("no export from the service", service=service, status=response.status_code)
        raise ServiceUnavailable("Some parts of the export are unavailable; try again")
    return response


async def _object(caller: Caller, sources: list[ServiceResponse]) -> AsyncIterator[bytes]:
    yield b'{"user_id":"%s","exported_at":"%s"' % (str(caller.user_id).encode(), rfc3339(now()).encode())
    for source in sources:
        yield b","
        async for chunk in _members(source):
            yield chunk
    yield b',"complete":true}\n'


async def _members(source: ServiceResponse) -> AsyncIterator[bytes]:
    """Yield the members of the JSON object in a response, without its braces. Raises `ResponseCutOff` if it is
    truncated."""
    held = b""
    first = True
    async for chunk in source.chunks():
        if first and chunk:
            chunk, first = chunk.removeprefix(b"{"), False
        held += chunk
        if len(held) > 1:
            yield held[:-1]
            held = held[-1:]
    if held != b"}":
        raise ResponseCutOff("a part of the export is truncated")


async def _start(send: Send) -> None:
    name = f"dashboard-export-{datetime.now(UTC):%Y-%m-%d}.json"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-disposition", f'attachment; filename="{name}"'.encode()),
        (b"cache-control", b"private, no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _nothing() -> Any:
    return {"type": "http.request", "body": b""}


class ExportRoute(AsgiRoute):
    """Answers clients that still send GET, which cannot carry a password, with what to send instead."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            await super().handle(scope, receive, send)
        else:
            raise ExportIsPosted('send POST with a JSON body, {"current_password": "…"}')


def routes() -> list[AsgiRoute]:
    return [ExportRoute(PATH, Export(), methods=["POST"])]


def describe(document: dict[str, Any], catalog: Catalog) -> None:
    """Add the operation to the gateway's own document."""
    if not catalog.has_accounts:
        return
    described: dict[str, Any] = {
        "operationId": "export_own_data",
        "tags": ["accounts"],
        "summary": "Export all data stored about you",
        "description": "One JSON object, streamed. Only a complete one ends with `complete: true`.",
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "object",
                        "required": [CURRENT_PASSWORD],
                        "properties": {CURRENT_PASSWORD: {"type": "string", "examples": ["correct horse battery"]}},
                    }
                }
            },
        },
        "responses": {
            "200": {
                "description": "profile, avatars, sessions, API keys, audit, orders, notifications, analytics, …",
                "content": {"application/json": {"schema": {"type": "object"}}},
            },
        },
        "security": FOR_SESSIONS,
    }
    add_errors(
        described, (UserNotFound, WrongPassword, RecentSignInRequired, ServiceUnavailable, OutcomeUnknown, Unavailable)
    )
    document["paths"][PATH] = {"post": described}
