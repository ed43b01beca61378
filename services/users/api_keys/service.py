"""Creating, listing, deleting and looking up API keys."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request

from services.users.accounts.service import Accounts, confirmed_owner
from services.users.api_keys import repository
from services.users.audit import repository as audit
from services.users.errors import ApiKeyNotFound, TooManyApiKeys
from services.users.models import ApiKey
from shared.db.engine import Database, clock
from shared.errors import InvalidInput
from shared.http.api_keys import SHOWN, KeyLookup, KeyScope, KnownKey, new_key
from shared.http.identity import Caller
from shared.http.tokens import Role
from shared.ids import new_id

MAX_PER_USER = 20
"""The maximum number of API keys per account, expired ones included."""


class ApiKeys:
    """The API keys of all accounts."""

    def __init__(self, db: Database, accounts: Accounts) -> None:
        self._db = db
        self._accounts = accounts

    async def create(
        self,
        caller: Caller,
        *,
        name: str,
        scopes: Sequence[KeyScope],
        expires_at: datetime | None,
        current_password: str | None,
    ) -> tuple[ApiKey, str]:
        """Create a key; return its row, and the key itself, which is not stored.

        Raises `UserNotFound`, `WrongPassword`, `TooManyApiKeys`, and `InvalidInput` for a scope above the owner's role
        or a time that has passed.
        """
        confirmed = await self._accounts.confirm_owner(caller, current_password)
        key = new_key()
        async with self._db.begin() as session:
            user = await confirmed_owner(session, caller, confirmed)
            at = await clock(session)
            _check(scopes, user.role, expires_at, at)
            if await repository.count(session, user.id) >= MAX_PER_USER:
                raise TooManyApiKeys(f"at most {MAX_PER_USER}; delete one first")
            row = ApiKey(
                user_id=user.id,
                id=new_id(),
                key_hash=hashlib.sha256(key.encode()).digest(),
                prefix=key[:SHOWN],
                name=name,
                scopes=list(scopes),
                expires_at=expires_at,
                created_at=at,
            )
            session.add(row)
            detail = f"id={row.id} scopes={','.join(scopes)}"
            await audit.record(
                session, audit.API_KEY_CREATED, actor=user.id, role=user.role, subject=user.id, detail=detail
            )
        return row, key

    async def page(self, user_id: UUID, after: UUID | None, limit: int) -> Sequence[ApiKey]:
        """Return the keys of an account, newest first."""
        async with self._db.begin() as session:
            return await repository.page(session, user_id, after, limit)

    async def delete(self, caller: Caller, key_id: UUID) -> None:
        """Raises `ApiKeyNotFound`."""
        who = caller.user_id
        async with self._db.begin() as session:
            if not await repository.delete(session, who, key_id):
                raise ApiKeyNotFound
            detail = f"id={key_id}"
            await audit.record(session, audit.API_KEY_DELETED, actor=who, role=caller.role, subject=who, detail=detail)

    async def look_up(self, key_hash: bytes) -> KeyLookup:
        """Return the valid key with this hash, and store that it is used."""
        async with self._db.begin() as session:
            found = await repository.find(session, key_hash)
            if found is None:
                return KeyLookup(None)
            key, role = found
            await repository.use(session, key)
        return KeyLookup(KnownKey(key.id, key.user_id, role, frozenset(key.scopes), key.expires_at))


def _check(scopes: Sequence[KeyScope], role: Role, expires_at: datetime | None, at: datetime) -> None:
    if "admin" in scopes and role == "user":
        raise InvalidInput.of("scopes", "admin is for administrators and support")
    if expires_at is not None and expires_at <= at:
        raise InvalidInput.of("expires_at", "must be in the future")


async def _api_keys(request: Request) -> ApiKeys:
    api_keys: ApiKeys = request.app.state.api_keys
    return api_keys


ApiKeysDep = Annotated[ApiKeys, Depends(_api_keys)]
"""The instance that the lifespan has created."""
