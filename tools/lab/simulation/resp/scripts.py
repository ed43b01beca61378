"""The Lua scripts that the gateway uses, as functions. A script is recognised by its text, so one that changes is not
taken for the old one."""

import re
from collections.abc import Callable, Sequence
from hashlib import sha1

from limits.aio.storage.redis.bridge import RedisBridge

from services.gateway.dashboard import stale_store
from tools.lab.simulation.resp.database import Database, integer
from tools.lab.simulation.resp.protocol import CommandFailed, NotModelled, Reply

Script = Callable[[Database, Sequence[bytes], Sequence[bytes]], Reply]

_ASKED = re.compile(rb'\{"asked":(\d+),')


def find(text: bytes) -> Script:
    """Return the function of a script. Raises `NotModelled`."""
    script = SCRIPTS.get(text)
    if script is None:
        raise NotModelled(f"script {text[:60]!r}")
    return script


def digest(text: bytes) -> bytes:
    return sha1(text, usedforsecurity=False).hexdigest().encode()


def write_panels(
    database: Database, keys: Sequence[bytes], arguments: Sequence[bytes], *, compares: bool = True
) -> Reply:
    """`stale_store.WRITE`; without `compares` as if it replaced whatever is stored."""
    now_ms = int(database.clock() * 1000)
    expires_in_s = integer(arguments[0])
    refused = []
    for number, key in enumerate(keys, 1):
        asked_ms = now_ms - int(arguments[2 * number - 1])
        known = asked_ms_of(_stored(database, key))
        if compares and known is not None and asked_ms < known <= now_ms:
            refused.append(number)
        elif expires_in_s <= 0:
            raise CommandFailed("ERR invalid expire time in 'set' command")
        else:
            database.set(key, b'{"asked":%d,' % asked_ms + arguments[2 * number], expires_in_s)
    return refused


def count(database: Database, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Reply:
    """`incr_expire.lua` of the library `limits`."""
    amount = integer(arguments[1])
    current = database.add(keys[0], amount)
    if current == amount:
        database.expire(keys[0], integer(arguments[0]))
    return current


def asked_ms_of(value: bytes | None) -> int | None:
    """Return when a stored panel was requested, in Unix milliseconds; None if it is something else."""
    found = _ASKED.match(value) if value else None
    return int(found[1]) if found else None


def _stored(database: Database, key: bytes) -> bytes | None:
    value = database.find(key)
    return value.data if value and isinstance(value.data, bytes) else None


SCRIPTS: dict[bytes, Script] = {
    stale_store.WRITE.encode(): write_panels,
    RedisBridge.SCRIPT_INCR_EXPIRE: count,
}
