"""API keys of a stub of the users service."""

import hashlib
import json
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from shared.clock import rfc3339
from shared.http.api_keys import LOOKUP_PATH, KeyScope, new_key
from shared.http.tokens import Role
from shared.ids import new_id
from tests.support.gateway.stub import Exchange, StubService

READ: tuple[KeyScope, ...] = ("read",)


@dataclass(frozen=True)
class Key:
    text: str
    id: UUID
    user_id: UUID

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.text}"}


@dataclass
class StoredKeys:
    """Answers lookups like the users service. Keys can be removed, and their owner's role changed."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def at(cls, *services: StubService) -> "StoredKeys":
        """Let these services answer lookups."""
        keys = cls()
        for service in services:
            service.behaviours[LOOKUP_PATH] = keys
        return keys

    def add(
        self,
        scopes: Collection[KeyScope] = READ,
        user_id: UUID | None = None,
        role: Role = "user",
        expires_at: datetime | None = None,
    ) -> Key:
        key = Key(new_key(), new_id(), user_id or new_id())
        self.rows[_digest(key)] = {
            "id": str(key.id),
            "user_id": str(key.user_id),
            "role": role,
            "scopes": list(scopes),
            "expires_at": expires_at and rfc3339(expires_at),
        }
        return key

    def change_role(self, key: Key, role: Role) -> None:
        self.rows[_digest(key)]["role"] = role

    def remove(self, key: Key) -> None:
        del self.rows[_digest(key)]

    async def __call__(self, exchange: Exchange) -> None:
        asked = json.loads(exchange.request.body)["key_hash"]
        await exchange.reply(json.dumps({"key": self.rows.get(asked)}).encode())


def lookups(service: StubService) -> int:
    """Return how many lookups the service has received."""
    return sum(request.path == LOOKUP_PATH for request in service.received)


def _digest(key: Key) -> str:
    return hashlib.sha256(key.text.encode()).hexdigest()
