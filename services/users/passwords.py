"""Password hashing: deliberately slow, so it runs in its own few threads, with a bounded queue."""

import secrets
import unicodedata
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from ipaddress import IPv6Network, ip_address
from typing import NamedTuple, TypeVar

from prometheus_client import Counter
from pwdlib import PasswordHash
from pwdlib.hashers import HasherProtocol
from pwdlib.hashers.argon2 import Argon2Hasher
from zxcvbn import zxcvbn

from services.users.errors import WeakPassword
from services.users.fair_queue import Asker, FairQueue, QueueFull
from services.users.settings import Tuning
from shared.contracts.account_errors import TooManyLogins
from shared.http.identity import client_address
from shared.observability.pools import POOLS

REFUSED = Counter("users_passwords_refused_total", "Passwords that were not checked because the queue was full.")
IPV6, IPV6_PREFIX = 6, 64
"""One customer of an internet provider has a network of at least this size; its addresses count as one."""

T = TypeVar("T")


class Verification(NamedTuple):
    """`renewed` is a new hash, if the stored one has other parameters or another form of the password."""

    valid: bool
    renewed: str | None = None


class Passwords:
    """Hashes and verifies passwords. argon2 releases the GIL, so the threads run in parallel to the event loop.

    `account` identifies the owner of the password, such as the given address. Accounts and client addresses share the
    threads fairly.
    """

    def __init__(self, hasher: HasherProtocol, pool: ThreadPoolExecutor, max_pending: int, threads: int = 1) -> None:
        self._passwords = PasswordHash([hasher])
        self._queue = FairQueue(pool, threads, max_pending)
        POOLS.watch("passwords", lambda: len(self._queue), lambda: max_pending)
        self._nobodys_hash = self._passwords.hash(secrets.token_urlsafe())

    @classmethod
    @contextmanager
    def running(cls, threads: int, tuning: Tuning) -> Iterator["Passwords"]:
        hasher = Argon2Hasher(tuning.argon2_time_cost, tuning.argon2_memory_kib, tuning.argon2_parallelism)
        with ThreadPoolExecutor(threads, "password") as pool:
            yield cls(hasher, pool, threads + tuning.hash_queue, threads)

    async def hash(self, password: str, account: str = "") -> str:
        """Return the hash of the password's normalised form. Raises `TooManyLogins` if the queue is full."""
        return await self._run(account, lambda: self._passwords.hash(normalized(password)))

    async def verify(self, password: str, password_hash: str | None, account: str = "") -> Verification:
        """Return whether the password matches this hash; without a hash it takes as long, and does not match.

        Raises `TooManyLogins` if the queue is full.
        """
        stored = password_hash or self._nobodys_hash
        return await self._run(account, lambda: self._verified(password, stored))

    def _verified(self, password: str, stored: str) -> Verification:
        form = normalized(password)
        checked = Verification(*self._passwords.verify_and_update(form, stored))
        if checked.valid or form == password:
            return checked
        # A hash from before passwords were normalised.
        valid = self._passwords.verify(password, stored)
        return Verification(valid, self._passwords.hash(form) if valid else None)

    async def _run(self, account: str, work: Callable[[], T]) -> T:
        try:
            return await self._queue.run(Asker(account.casefold(), _network(client_address.get() or "")), work)
        except QueueFull:
            REFUSED.inc()
            raise TooManyLogins from None


def _network(address: str) -> str:
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    return str(IPv6Network((parsed.packed, IPV6_PREFIX), strict=False)) if parsed.version == IPV6 else address


MIN_LENGTH, MAX_LENGTH = 8, 128
MAX_GIVEN = 4 * MAX_LENGTH
"""The limit as typed: a decomposed form is longer than the normalised one."""
MIN_GUESSES = 10**6
"""A password that needs fewer guesses is common, or a pattern."""
RATED = 40
"""The number of characters that are rated: the time grows with the square."""
TOO_EASY = "is too easy to guess: use several unrelated words, or a password manager"


def normalized(password: str) -> str:
    """Return the same form for all ways to type a password: the OpaqueString profile of RFC 8265, without its
    rejections."""
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in password)
    return unicodedata.normalize("NFC", spaced)


def has_length(password: str, least: int) -> str:
    """Return the password if its normalised form is neither too short nor too long. Raises `ValueError`."""
    length = len(normalized(password))
    if length < least:
        raise ValueError(f"must have at least {least} characters")
    if length > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    return password


def is_easy_to_guess(password: str, *personal: str) -> bool:
    """Return whether it is a common password, a pattern, or derived from data about its owner."""
    known = ["dashboard"]
    for text in personal:
        parts = text.replace("@", " ").replace(".", " ").split()
        known += [text[:RATED], "".join(parts)[:RATED], *parts]
    return bool(zxcvbn(normalized(password)[:RATED], user_inputs=known)["guesses"] < MIN_GUESSES)


def refuse_weak(password: str, *personal: str) -> None:
    """Raises `WeakPassword`. `personal` is data about its owner."""
    if is_easy_to_guess(password, *personal):
        raise WeakPassword.of("password", TOO_EASY)
