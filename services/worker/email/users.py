"""The mail jobs' client of the users service, which knows the links of mails, and which addresses are verified."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar
from uuid import UUID

import httpx
import msgspec

from services.worker.ledger.job import Suppressed, Transient
from services.worker.service_client import NO_ANSWER, ServiceClient
from shared.contracts.internal_api import ADDRESSES_PATH, LINKS_PATH, LinkRequest, MailAddress, MailLink, Purpose
from shared.http.tokens import ServiceTokens

TIMEOUT_S = 4.0
"""The timeout of one call. With the time limit of a mail it must be shorter than the lease of a mail."""
UNWANTED = ("link_not_wanted", "user_not_found")
T = TypeVar("T")


class UsersAway(Transient):
    """No usable response. The mail is certainly not sent."""


class RecipientOutdated(Transient):
    """The account has another address, whose event has not arrived."""


class _Problem(msgspec.Struct):
    code: str = ""


class Users:
    def __init__(self, service: ServiceClient) -> None:
        self._service = service

    @classmethod
    @asynccontextmanager
    async def open(cls, base_urls: str, tokens: ServiceTokens) -> AsyncIterator["Users"]:
        """A client that keeps its connections until the block is left."""
        async with ServiceClient.open(base_urls, tokens, TIMEOUT_S) as service:
            yield cls(service)

    async def link(self, user_id: UUID, purpose: Purpose, email: str) -> MailLink:
        """Return a new link for a mail to that address. Raises `UsersAway`, or `Suppressed` if the account has no use
        for it any more."""
        body = LinkRequest(user_id=user_id, purpose=purpose, email=email).model_dump_json().encode()
        return await self._ask("POST", LINKS_PATH, MailLink, "the link is no longer wanted", body)

    async def check_verified(self, user_id: UUID, email: str) -> None:
        """Raises `Suppressed` unless the account has this address and has verified it, `UsersAway` if that is unknown,
        and `RecipientOutdated` if it has verified another one."""
        address = await self._ask("GET", f"{ADDRESSES_PATH}/{user_id}", MailAddress, "the account is deleted")
        if not address.verified:
            raise Suppressed("the address is not verified")
        if address.email != email:
            raise RecipientOutdated(str(user_id))

    async def _ask(self, method: str, path: str, kind: type[T], unwanted: str, body: bytes | None = None) -> T:
        try:
            answer = await self._service.send(method, path, body)
        except NO_ANSWER as error:
            raise UsersAway(f"the users service does not respond: {error!r}") from error
        if answer.status_code in (httpx.codes.CONFLICT, httpx.codes.NOT_FOUND) and _code(answer) in UNWANTED:
            raise Suppressed(unwanted)
        if answer.is_error:
            raise UsersAway(f"the users service answered {answer.status_code}")
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except msgspec.DecodeError as unreadable:
            raise UsersAway(f"the users service's response cannot be read: {type(unreadable).__name__}") from None


def _code(answer: httpx.Response) -> str:
    """Return the code of a problem; a replica of an earlier version has none for these routes."""
    try:
        return msgspec.json.decode(answer.content, type=_Problem).code
    except msgspec.DecodeError:
        return ""
