"""Password hashing: slow on purpose, so it runs in a few threads of its own, and only so many requests wait for it."""

import asyncio
import secrets
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import Any, NamedTuple, TypeVar

from prometheus_client import Counter
from pwdlib import PasswordHash
from pwdlib.hashers import HasherProtocol
from pwdlib.hashers.argon2 import Argon2Hasher

from services.users.errors import TooManyLogins
from services.users.settings import Settings
from shared.pools import POOLS

REFUSED = Counter("users_passwords_refused_total", "Passwords not looked at, since too many waited.")

T = TypeVar("T")


class Verification(NamedTuple):
    """`renewed` is a hash by today's parameters, where the stored one was made by others."""

    valid: bool
    renewed: str | None = None


class Passwords:
    """Hashes and verifies. argon2 releases the GIL, so that the threads run beside the event loop."""

    def __init__(self, hasher: HasherProtocol, pool: ThreadPoolExecutor, max_pending: int) -> None:
        self._passwords = PasswordHash([hasher])
        self._pool = pool
        self._room = BoundedSemaphore(max_pending)
        self._pending: set[Future[Any]] = set()
        POOLS.watch("passwords", lambda: len(self._pending), lambda: max_pending)
        self._nobodys_hash = self._passwords.hash(secrets.token_urlsafe())

    @classmethod
    @contextmanager
    def running(cls, settings: Settings) -> Iterator["Passwords"]:
        hasher = Argon2Hasher(settings.argon2_time_cost, settings.argon2_memory_kib, settings.argon2_parallelism)
        with ThreadPoolExecutor(settings.hash_threads, "password") as pool:
            yield cls(hasher, pool, settings.hash_threads + settings.hash_queue)

    async def hash(self, password: str) -> str:
        """Raises `TooManyLogins` when too many wait already."""
        return await self._run(lambda: self._passwords.hash(password))

    async def verify(self, password: str, password_hash: str | None) -> Verification:
        """Whether it is the password of this hash; without a hash it takes as long, and is not.

        Raises `TooManyLogins` when too many wait already.
        """
        stored = password_hash or self._nobodys_hash
        return Verification(*await self._run(lambda: self._passwords.verify_and_update(password, stored)))

    async def _run(self, work: Callable[[], T]) -> T:
        if not self._room.acquire(blocking=False):
            REFUSED.inc()
            raise TooManyLogins
        future = self._pool.submit(work)
        # Not when the caller ends: one that hangs up leaves its work behind in the thread.
        self._pending.add(future)
        future.add_done_callback(self._ended)
        return await asyncio.wrap_future(future)

    def _ended(self, future: "Future[Any]") -> None:
        self._pending.discard(future)
        self._room.release()
