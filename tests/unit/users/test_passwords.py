"""Hashing in threads, with a bounded queue."""

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from services.users.passwords import Passwords
from shared.contracts.account_errors import TooManyLogins
from tests.support.waiting import eventually


class GatedHasher(Argon2Hasher):
    """Verifies once the gate is open."""

    def __init__(self) -> None:
        super().__init__(1, 8, 1)
        self.gate = threading.Event()
        self.entered = 0

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:  # noqa: A002  the library's name
        self.entered += 1
        self.gate.wait(60)
        return super().verify(password, hash)


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


async def test_a_password_is_verified_against_its_hash(pool: ThreadPoolExecutor) -> None:
    """A right password, a wrong one, and one without an account, which is never right."""
    passwords = Passwords(Argon2Hasher(1, 8, 1), pool, 1)
    stored = await passwords.hash("secret")
    assert await passwords.verify("secret", stored) == (True, None)
    assert await passwords.verify("Secret", stored) == (False, None)
    assert await passwords.verify("secret", None) == (False, None)


async def test_beyond_the_queue_checks_are_refused(pool: ThreadPoolExecutor) -> None:
    """Two checks may be pending, and the third is refused at once; afterwards there is room again."""
    hasher = GatedHasher()
    passwords = Passwords(hasher, pool, 2)
    pending = [asyncio.create_task(passwords.verify("x", None)) for _ in range(2)]
    await eventually(lambda: _is(hasher.entered == 1))
    with pytest.raises(TooManyLogins):
        await passwords.verify("x", None)
    hasher.gate.set()
    await asyncio.gather(*pending)
    assert await passwords.verify("x", None) == (False, None)


async def test_a_caller_that_leaves_does_not_make_room_before_the_thread_is_free(pool: ThreadPoolExecutor) -> None:
    """Disconnecting and retrying does not evade the limit; checks that have not started are dropped."""
    hasher = GatedHasher()
    passwords = Passwords(hasher, pool, 2)
    running, waiting = (asyncio.create_task(passwords.verify("x", None)) for _ in range(2))
    await eventually(lambda: _is(hasher.entered == 1))
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    next_one = asyncio.create_task(passwords.verify("x", None))
    await asyncio.sleep(0)
    with pytest.raises(TooManyLogins):
        await passwords.verify("x", None)
    hasher.gate.set()
    assert await next_one == (False, None)
    assert hasher.entered == 2


async def _is(condition: bool) -> bool:
    return condition
