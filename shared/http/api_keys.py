"""API keys: their form, and how a gateway asks the users service for one.

A key is the prefix `dsh_`, 30 random characters, and a checksum of six: the CRC-32 of the random characters. A key with
a typing error is refused without a lookup, and scanners for secrets recognise a key. It is no defence, because anyone
can compute it. Only the SHA-256 of a key is stored.
"""

import re
import secrets
import string
import zlib
from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from shared.http.tokens import Role

PREFIX = "dsh_"
SHOWN = len(PREFIX) + 6
"""How many characters of a key its owner's list shows; 143 random bits stay hidden."""
RANDOM, CHECKSUM = 30, 6
"""Characters; the random ones contain 178 bits."""
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase

KeyScope = Literal["read", "write", "admin"]
"""`read` is for GET and HEAD, `write` for all other methods, and `admin` for the routes of operators."""

LOOKUP_PATH = "/internal/api-keys"
"""POST {"key_hash"}, the SHA-256 of an API key in hexadecimal → `KeyLookup`. Sets when the key was last used."""
MEMORY_S = 60
"""How long a gateway may use the answer."""


class KnownKey(msgspec.Struct, frozen=True):
    """An API key that is valid now, and the present role of its owner."""

    id: UUID
    user_id: UUID
    role: Role
    scopes: frozenset[KeyScope]
    expires_at: datetime | None


class KeyLookup(msgspec.Struct, frozen=True):
    """`key` is None if there is no such key, or it has expired."""

    key: KnownKey | None


_FORM = re.compile(rb"dsh_[0-9A-Za-z]{36}")


def new_key() -> str:
    """Return a new key."""
    chosen = "".join(secrets.choice(ALPHABET) for _ in range(RANDOM))
    return PREFIX + chosen + _checksum(chosen.encode())


def is_well_formed(key: bytes) -> bool:
    """Return whether the key has the form of one, and the right checksum."""
    return _FORM.fullmatch(key) is not None and key[-CHECKSUM:] == _checksum(key[len(PREFIX) : -CHECKSUM]).encode()


def _checksum(chosen: bytes) -> str:
    left, digits = zlib.crc32(chosen), ""
    for _ in range(CHECKSUM):
        left, digit = divmod(left, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
