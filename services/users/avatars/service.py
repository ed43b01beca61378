"""Profile pictures: set, read, deleted; each change with its event in the same transaction."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from fastapi import Depends, Request
from sqlalchemy.ext.asyncio import AsyncSession

from services.users.accounts.profile import updated
from services.users.avatars.errors import AvatarNotFound
from services.users.avatars.models import Avatar
from services.users.errors import UserNotFound
from services.users.models import User
from services.users.repository import UserRepository
from shared.db.engine import Database
from shared.outbox.outbox import add

READ = "SELECT digest, content FROM avatars WHERE user_id = $1 AND size = $2"


class Thumbnail(NamedTuple):
    digest: str
    content: bytes


def digest_of(thumbnails: Mapping[int, bytes]) -> str:
    """Return a digest of the picture, in 32 characters."""
    return hashlib.sha256(b"".join(thumbnails[size] for size in sorted(thumbnails))).hexdigest()[:32]


def url_of(user_id: UUID, digest: str) -> str:
    """A URL that changes with the picture, so that the response may be cached forever."""
    return f"/v1/users/{user_id}/avatar?v={digest}"


class Avatars:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def put(self, user_id: UUID, thumbnails: Mapping[int, bytes]) -> User:
        """Set the user's picture; setting the same one again changes nothing. Raises `UserNotFound`."""
        digest = digest_of(thumbnails)
        async with self._db.begin() as session:
            user = await _locked(session, user_id)
            if user.avatar_url == url_of(user_id, digest):
                return user
            await session.execute(sa.delete(Avatar).where(Avatar.user_id == user_id))
            rows = [
                {"user_id": user_id, "size": size, "digest": digest, "content": content}
                for size, content in thumbnails.items()
            ]
            await session.execute(sa.insert(Avatar), rows)
            return await _point(session, user, url_of(user_id, digest))

    async def delete(self, user_id: UUID) -> None:
        """Raises `UserNotFound`; not having a picture is not an error."""
        async with self._db.begin() as session:
            user = await _locked(session, user_id)
            if user.avatar_url is not None:
                await session.execute(sa.delete(Avatar).where(Avatar.user_id == user_id))
                await _point(session, user, None)

    async def get(self, user_id: UUID, size: int) -> Thumbnail:
        """Raises `AvatarNotFound`."""
        async with self._db.connection() as connection:
            found = await connection.fetchrow(READ, user_id, size)
        if found is None:
            raise AvatarNotFound
        return Thumbnail(*found)


async def _locked(session: AsyncSession, user_id: UUID) -> User:
    user = await UserRepository(session).get(user_id, lock=True)
    if user is None:
        raise UserNotFound
    return user


async def _point(session: AsyncSession, user: User, url: str | None) -> User:
    await UserRepository(session).update(user, avatar_url=url)
    await add(session, updated(user))
    return user


async def _avatars(request: Request) -> Avatars:
    avatars: Avatars = request.app.state.avatars
    return avatars


AvatarsDep = Annotated[Avatars, Depends(_avatars)]
"""The one that the lifespan has made."""
