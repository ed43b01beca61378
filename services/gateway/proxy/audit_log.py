"""Operator actions through the gateway, recorded in the audit log of the users service.

A change is only forwarded after its entry is written, so that every change has one. A read continues if the entry
cannot be written, which is logged and counted, because operators read during an outage of the users service.
"""

from collections.abc import Mapping
from uuid import UUID

import httpx

from services.gateway import metrics
from services.gateway.errors import AuditUnavailable
from services.gateway.upstream.client import Upstream
from services.gateway.upstream.errors import BadAnswer, UpstreamFailed
from shared.contracts.internal_api import AUDIT_PATH, Entry
from shared.http.identity import CLIENT_ADDRESS_HEADER, Caller, identity_headers
from shared.observability.logs import get_logger

log = get_logger(__name__)

TIMEOUT_S = 1.0


class AuditLog:
    """Writes to `users`, the service that has the accounts; without accounts, to the log."""

    def __init__(self, users: Upstream | None) -> None:
        self.users = users

    async def must_note(self, caller: Caller, peer: str | None, entry: Entry) -> None:
        """Raises `AuditUnavailable`."""
        try:
            await self._send(caller, peer, entry)
        except UpstreamFailed as failure:
            metrics.AUDIT_FAILURES.labels("change").inc()
            log.warning("request rejected: audit log unavailable", action=entry.action, reason=repr(failure))
            raise AuditUnavailable from failure

    async def note(self, caller: Caller, peer: str | None, entry: Entry) -> None:
        """Record a read, if that is possible now."""
        try:
            await self._send(caller, peer, entry)
        except UpstreamFailed as failure:
            metrics.AUDIT_FAILURES.labels("look").inc()
            who, whom = str(caller.user_id), str(entry.subject_id)
            log.warning("missing in the audit log", action=entry.action, actor=who, subject=whom, reason=repr(failure))

    async def _send(self, caller: Caller, peer: str | None, entry: Entry) -> None:
        if self.users is None:
            log.info("operator action", action=entry.action, actor=str(caller.user_id), detail=entry.detail)
            return
        headers = [("Content-Type", "application/json"), *identity_headers(caller)]
        if peer:
            headers.append((CLIENT_ADDRESS_HEADER, peer))
        body = entry.model_dump_json().encode()
        response = await self.users.send("POST", AUDIT_PATH, headers, body, TIMEOUT_S)
        await response.aclose()
        if response.status_code != httpx.codes.NO_CONTENT:
            raise BadAnswer(f"status {response.status_code}")


def entry_of(method: str, template: str, parameters: Mapping[str, object], *, subject: UUID | None = None) -> Entry:
    """`parameters`: the path parameters."""
    detail = " ".join(f"{name}={value}" for name, value in parameters.items()) or None
    return Entry(action=f"{method} {template}", subject_id=subject, detail=detail)
