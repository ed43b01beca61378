"""The data of a model Redis: strings and streams with expiry, and what a crash leaves of them."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random

from tools.lab.simulation.resp.protocol import CommandFailed

FSYNC_S = 1.0
"""With `appendfsync everysec`, a crash loses at most the changes of the last second."""
TRIMMED_AT_ONCE = 100
"""An approximate trim removes whole blocks of a stream."""
MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1

Clock = Callable[[], float]
"""Unix seconds."""
EntryId = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Stream:
    entries: tuple[tuple[EntryId, tuple[bytes, ...]], ...] = ()
    last: EntryId = (0, 0)


@dataclass(frozen=True, slots=True)
class Value:
    """A string or a stream; `expires` is in Unix seconds."""

    data: bytes | Stream
    expires: float | None = None


class Database:
    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._values: dict[bytes, Value] = {}
        self._undo: deque[tuple[float, bytes, Value | None]] = deque()
        """When a key changed, and what it was before: the changes that may not have reached the disk."""
        self._appended = asyncio.Event()
        self.on_replaced: Callable[[bytes, bytes, bytes], None] = lambda *_: None
        """Called with a key, its string, and the string that has replaced it."""

    def find(self, key: bytes) -> Value | None:
        value = self._values.get(key)
        if value and value.expires is not None and value.expires <= self.clock():
            del self._values[key]
            return None
        return value

    def string(self, key: bytes) -> bytes | None:
        """Raises `CommandFailed` if it is a stream."""
        value = self.find(key)
        if value is None:
            return None
        if not isinstance(value.data, bytes):
            raise wrong_type()
        return value.data

    def stream(self, key: bytes) -> Stream | None:
        """Raises `CommandFailed` if it is a string."""
        value = self.find(key)
        if value is None:
            return None
        if not isinstance(value.data, Stream):
            raise wrong_type()
        return value.data

    def put(self, key: bytes, value: Value | None) -> None:
        """Set a key, or delete it."""
        now = self.clock()
        while self._undo and not 0 <= now - self._undo[0][0] <= FSYNC_S:
            self._undo.popleft()
        self._undo.append((now, key, self._values.get(key)))
        if value is None:
            self._values.pop(key, None)
        else:
            self._values[key] = value

    def set(self, key: bytes, data: bytes, expires_in_s: float | None = None) -> None:
        before = self.find(key)
        self.put(key, Value(data, None if expires_in_s is None else self.clock() + expires_in_s))
        if before is not None and isinstance(before.data, bytes):
            self.on_replaced(key, before.data, data)

    def delete(self, key: bytes) -> bool:
        """Return whether it existed."""
        if self.find(key) is None:
            return False
        self.put(key, None)
        return True

    def add(self, key: bytes, amount: int) -> int:
        """Add to a counter, keep its expiry, and return it. Raises `CommandFailed`."""
        text = self.string(key)
        total = (0 if text is None else integer(text)) + amount
        if not MIN_INTEGER <= total <= MAX_INTEGER:
            raise CommandFailed("ERR increment or decrement would overflow")
        known = self.find(key)
        self.put(key, Value(b"%d" % total, known.expires if known else None))
        return total

    def expire(self, key: bytes, in_s: float) -> bool:
        """Return whether the key exists."""
        value = self.find(key)
        if value is None:
            return False
        self.put(key, replace(value, expires=self.clock() + in_s) if in_s > 0 else None)
        return True

    def append(self, key: bytes, fields: Sequence[bytes], oldest: EntryId | None, *, exactly: bool) -> EntryId:
        """Append to a stream, remove entries before `oldest`, and return the new id. Raises `CommandFailed`."""
        stream = self.stream(key) or Stream()
        known = self.find(key)
        now_ms = int(self.clock() * 1000)
        ms, sequence = stream.last
        new = (now_ms, 0) if now_ms > ms else (ms, sequence + 1)
        entries = (*stream.entries, (new, tuple(fields)))
        if oldest is not None:
            before = sum(entry_id < oldest for entry_id, _ in entries)
            entries = entries[before if exactly else before - before % TRIMMED_AT_ONCE :]
        self.put(key, Value(Stream(entries, new), known.expires if known else None))
        appended, self._appended = self._appended, asyncio.Event()
        appended.set()
        return new

    async def appended(self) -> None:
        """Return after the next entry of any stream."""
        await self._appended.wait()

    def clear(self) -> None:
        self._values.clear()
        self._undo.clear()

    def crash(self, random: Random) -> None:
        """Lose the last changes, as many of those of the last second as the seed says."""
        now = self.clock()
        recent = [change for change in self._undo if 0 <= now - change[0] <= FSYNC_S]
        lost = random.randint(0, len(recent))
        for _, key, before in reversed(recent[len(recent) - lost :]):
            if before is None:
                self._values.pop(key, None)
            else:
                self._values[key] = before
        self._undo.clear()


def wrong_type() -> CommandFailed:
    return CommandFailed("WRONGTYPE Operation against a key holding the wrong kind of value")


def integer(text: bytes) -> int:
    """Raises `CommandFailed`."""
    try:
        number = int(text)
    except ValueError:
        number = MAX_INTEGER + 1
    if not MIN_INTEGER <= number <= MAX_INTEGER or b"%d" % number != text:
        raise CommandFailed("ERR value is not an integer or out of range")
    return number
