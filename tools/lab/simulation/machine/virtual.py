"""Virtual clocks and seeded randomness for everything that a process would ask the operating system.

`install` replaces the functions; outside a simulation they do what they always did. It must be called before the
modules under test are imported, because some of them keep `time.monotonic` as a default argument.
"""

import datetime
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, MutableSet
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

from tools.lab.simulation.machine.loop import BEGINNING, SimulationLoop, current_process

FIRST_PID = 1000

_real_monotonic, _real_time, _real_urandom, _real_getpid = time.monotonic, time.time, os.urandom, os.getpid
_real_hostname, _real_getfqdn = socket.gethostname, socket.getfqdn
_beginning_s = BEGINNING.timestamp()


class _Current:
    loop: SimulationLoop | None = None
    source: random.Random = random.Random(0)


def enter(loop: SimulationLoop, seed: int | str) -> None:
    """From now on this thread lives in the world of that loop, until it ends."""
    _Current.loop = loop
    _Current.source = random.Random(f"system {seed}")
    random.seed(f"random {seed}")


def real_monotonic() -> float:
    """Return the real time, for measurements of the simulator itself."""
    return _real_monotonic()


def _monotonic() -> float:
    loop = _Current.loop
    return _real_monotonic() if loop is None else loop.now


def _time() -> float:
    loop = _Current.loop
    if loop is None:
        return _real_time()
    process = current_process.get(loop.world)
    return _beginning_s + loop.now + process.skew_s


def _now() -> datetime.datetime:
    return datetime.datetime.fromtimestamp(_time(), datetime.UTC)


def _urandom(size: int) -> bytes:
    return _real_urandom(size) if _Current.loop is None else _Current.source.randbytes(size)


def _getpid() -> int:
    loop = _Current.loop
    return _real_getpid() if loop is None else FIRST_PID + current_process.get(loop.world).number


def _gethostname() -> str:
    return _real_hostname() if _Current.loop is None else "simulation"


def _getfqdn(name: str = "") -> str:
    return _real_getfqdn(name) if _Current.loop is None else "simulation"


def _uuid7(timestamp: int | None = None, nanos: int | None = None, *, nanoseconds: int | None = None) -> UUID:
    """Return a UUIDv7 of the virtual time; ids of the same millisecond are in random order, as those of two hosts."""
    given = nanoseconds if nanoseconds is not None else nanos
    milliseconds = int(_time() * 1000) if given is None and timestamp is None else (given or 0) // 1_000_000
    bits = int.from_bytes(_urandom(10), "big")
    return UUID(int=milliseconds << 80 | 7 << 76 | (bits >> 64 & 0xFFF) << 64 | 2 << 62 | bits & (1 << 62) - 1)


class _Datetime(datetime.datetime):
    """For libraries that ask `datetime` for the time."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Any:
        return datetime.datetime.fromtimestamp(_time(), tz)


class _OrderedSet(MutableSet[Any]):
    """A set in the order in which members were added. That of a `set` of objects depends on their addresses."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self._members: Any = dict.fromkeys(members)

    def __contains__(self, member: object) -> bool:
        return member in self._members

    def __iter__(self) -> Iterator[Any]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def add(self, value: Any) -> None:
        self._members[value] = None

    def discard(self, value: Any) -> None:
        self._members.pop(value, None)

    def update(self, *others: Iterable[Any]) -> None:
        for each in others:
            self._members.update(dict.fromkeys(each))


class _FrozenOrderedSet(_OrderedSet):
    """Stands for `frozenset`; nothing is added to one."""


class _OrderedWeakSet(_OrderedSet):
    """The same with weak references."""

    def __init__(self, members: Iterable[Any] = ()) -> None:
        self._members: Any = WeakKeyDictionary(dict.fromkeys(members))


def order_sets() -> None:
    """Let the clients of RabbitMQ go through their sets of tasks and callbacks in a fixed order. Call it when they have
    been imported."""
    for name, module in list(sys.modules.items()):
        if module is not None and name.partition(".")[0] in ("aio_pika", "aiormq"):
            module.set, module.frozenset = _OrderedSet, _FrozenOrderedSet  # type: ignore[attr-defined]
            if hasattr(module, "WeakSet"):
                vars(module)["WeakSet"] = _OrderedWeakSet


def install() -> None:
    """Replace the clocks and the sources of randomness. May be called twice."""
    if time.monotonic is _monotonic:
        return
    replaced: dict[str, Callable[..., Any]] = {
        "monotonic": _monotonic,
        "perf_counter": _monotonic,
        "time": _time,
        "monotonic_ns": lambda: int(_monotonic() * 1e9),
        "perf_counter_ns": lambda: int(_monotonic() * 1e9),
        "time_ns": lambda: int(_time() * 1e9),
    }
    for name, function in replaced.items():
        setattr(time, name, function)
    os.urandom = _urandom
    os.getpid = _getpid
    socket.gethostname, socket.getfqdn = _gethostname, _getfqdn
    random._urandom = _urandom  # type: ignore[attr-defined]  # of `SystemRandom`, and so of `secrets`

    import jwt.api_jwt
    import uuid_utils

    import shared.clock

    shared.clock.now = _now
    uuid_utils.uuid7 = _uuid7  # type: ignore[assignment]
    vars(jwt.api_jwt)["datetime"] = _Datetime
