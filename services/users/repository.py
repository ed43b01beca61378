"""Users in the database."""

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

from services.users import revocations
from services.users.errors import EmailAlreadyUsed
from services.users.models import Base, User
from shared.clock import now
from shared.db.engine import Database
from shared.db.personal_data import erasure_of

LAST_CHARACTER = "\U0010ffff"
"""The greatest in UTF-8."""
CLAIM = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(lower(:email), 0))")


class UserRepository:
    """Works in the session's transaction and never commits it."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def get(self, user_id: UUID, *, lock: bool = False) -> User | None:
        """Return the user; with `lock`, no other transaction can change them before this one ends."""
        return await self._session.get(User, user_id, with_for_update=lock, populate_existing=lock)

    async def get_by_email(self, email: str) -> User | None:
        """Return the user with this address, ignoring case."""
        return await self._session.scalar(sa.select(User).where(sa.func.lower(User.email) == sa.func.lower(email)))

    async def page(self, limit: int, after: UUID | None = None, beginning: str | None = None) -> Sequence[User]:
        """Return at most `limit` users, newest first, starting after the id `after`; `beginning`: only those whose
        address begins so, ignoring case."""
        users = sa.select(User).order_by(User.id.desc()).limit(limit)
        if after is not None:
            users = users.where(User.id < after)
        if beginning is not None:
            # Compared as bytes, like the index `users_email_beginning`.
            address, first = sa.func.lower(User.email), sa.func.lower(beginning)
            users = users.where(address.op("~>=~")(first), address.op("~<~")(first.op("||")(LAST_CHARACTER)))
        return (await self._session.scalars(users)).all()

    @classmethod
    async def iterate(cls, db: Database, page_size: int) -> AsyncIterator[Sequence[User]]:
        """Yield all users, newest first, page by page. One transaction per page: a slow reader holds no connection."""
        after = None
        while True:
            async with db.begin() as session:
                page = await cls(session).page(page_size, after)
            if page:
                yield page
            if len(page) < page_size:
                return
            after = page[-1].id

    async def count(self) -> int:
        return await self._session.scalar(sa.select(sa.func.count()).select_from(User)) or 0

    async def create(self, user: User) -> User:
        """Raises `EmailAlreadyUsed`."""
        if await self.claim(user.email):
            raise EmailAlreadyUsed
        self._session.add(user)
        await self._session.flush()
        return user

    async def update(self, user: User, **changes: Any) -> User:
        """Apply one change to a user: the next revision. Raises `EmailAlreadyUsed`."""
        if (email := changes.get("email")) and (found := await self.claim(email)) and found.id != user.id:
            raise EmailAlreadyUsed
        for name, value in changes.items():
            setattr(user, name, value)
        user.revision += 1
        user.updated_at = now()
        await self._session.flush()
        return user

    async def claim(self, email: str) -> User | None:
        """Reserve the address for this transaction, and return the account that has it.

        Postgres writes the values of a violated constraint into its log. So the constraint must never be violated.
        """
        await self._session.execute(CLAIM, {"email": email})
        return await self.get_by_email(email)

    async def delete(self, user: User) -> None:
        """Erase the user's data as all models declare it, and revoke their access tokens."""
        await revocations.end_user(self._session, user.id)
        connection = await self._session.connection()
        for statement, values in erasure_of(Base, user_id=user.id):
            await connection.exec_driver_sql(statement, tuple(values))
