"""The commands that the gateway sends, and a few that tests need."""

import asyncio
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any, ClassVar

from tools.lab.simulation.resp import scripts
from tools.lab.simulation.resp.database import Database, EntryId, Stream, integer
from tools.lab.simulation.resp.protocol import CommandFailed, NotModelled, Pairs, Reply

Arguments = Sequence[bytes]


class Session:
    """One client: its protocol, and the database and scripts of its server."""

    def __init__(self, database: Database, loaded: dict[bytes, bytes]) -> None:
        self.protocol = 2
        self._database = database
        self._loaded = loaded
        """The text of each script that the server knows, by digest."""

    async def run(self, name: str, arguments: Arguments) -> Reply:
        """Run a command. Raises `CommandFailed`."""
        if name == "XREAD":
            return await self._read_streams(arguments)
        method = self._METHODS.get(name)
        if method is None:
            raise NotModelled(f"command {name}")
        try:
            signature(method).bind(self, *arguments)
        except TypeError:
            raise CommandFailed(f"ERR wrong number of arguments for '{name.lower()}' command") from None
        reply: Reply = method(self, *arguments)
        return reply

    def _hello(self, protocol: bytes = b"2", *options: bytes) -> Reply:
        if options:
            raise NotModelled("option of HELLO")
        if protocol not in (b"2", b"3"):
            raise CommandFailed("NOPROTO unsupported protocol version")
        self.protocol = int(protocol)
        return {
            "server": b"redis",
            "version": b"8.0.0",
            "proto": self.protocol,
            "mode": b"standalone",
            "role": b"master",
        }

    def _client(self, subcommand: bytes, *_: bytes) -> Reply:
        if subcommand.upper() not in (b"SETINFO", b"SETNAME"):
            raise CommandFailed(f"ERR unknown subcommand '{subcommand.decode()}'. Try CLIENT HELP.")
        return "OK"

    def _select(self, number: bytes) -> Reply:
        if number != b"0":
            raise NotModelled("database other than 0")
        return "OK"

    def _ping(self) -> Reply:
        return "PONG"

    def _time(self) -> Reply:
        microseconds = int(self._database.clock() * 1_000_000)
        return [b"%d" % (microseconds // 1_000_000), b"%d" % (microseconds % 1_000_000)]

    def _get(self, key: bytes) -> Reply:
        return self._database.string(key)

    def _mget(self, first: bytes, *others: bytes) -> Reply:
        values = [self._database.find(key) for key in (first, *others)]
        return [value.data if value and isinstance(value.data, bytes) else None for value in values]

    def _set(self, key: bytes, data: bytes, *options: bytes) -> Reply:
        match [option.upper() for option in options]:
            case []:
                self._database.set(key, data)
            case [b"EX", seconds]:
                self._database.set(key, data, _positive(integer(seconds), "set"))
            case [b"PX", milliseconds]:
                self._database.set(key, data, _positive(integer(milliseconds), "set") / 1000)
            case _:
                raise NotModelled("option of SET")
        return "OK"

    def _delete(self, first: bytes, *others: bytes) -> Reply:
        return sum(self._database.delete(key) for key in (first, *others))

    def _incrby(self, key: bytes, amount: bytes) -> Reply:
        return self._database.add(key, integer(amount))

    def _expire(self, key: bytes, seconds: bytes) -> Reply:
        return int(self._database.expire(key, integer(seconds)))

    def _ttl(self, key: bytes) -> Reply:
        value = self._database.find(key)
        if value is None:
            return -2
        return -1 if value.expires is None else int(value.expires - self._database.clock() + 0.5)

    def _flushall(self) -> Reply:
        self._database.clear()
        return "OK"

    def _xlen(self, key: bytes) -> Reply:
        return len((self._database.stream(key) or Stream()).entries)

    def _xadd(self, key: bytes, *rest: bytes) -> Reply:
        if len(rest) < 3:
            raise CommandFailed("ERR wrong number of arguments for 'xadd' command")
        oldest, exactly = None, True
        if rest[0].upper() == b"MINID":
            exactly = rest[1] != b"~"
            rest = rest[2:] if rest[1] in (b"~", b"=") else rest[1:]
            oldest, rest = _entry_id(rest[0]), rest[1:]
        new, *fields = rest
        if new != b"*":
            raise NotModelled("id of XADD other than *")
        if not fields or len(fields) % 2:
            raise CommandFailed("ERR wrong number of arguments for 'xadd' command")
        return _text(self._database.append(key, fields, oldest, exactly=exactly))

    async def _read_streams(self, arguments: Arguments) -> Reply:
        """XREAD of one stream."""
        limit, block_s, rest = None, None, list(arguments)
        while rest and rest[0].upper() != b"STREAMS":
            option, value, *rest = rest
            if option.upper() == b"COUNT":
                limit = integer(value)
            elif option.upper() == b"BLOCK":
                block_s = integer(value) / 1000
            else:
                raise CommandFailed("ERR syntax error")
        if len(rest) != 3:
            raise NotModelled("XREAD of several streams")
        _, key, given = rest
        stream = self._database.stream(key) or Stream()
        after = stream.last if given == b"$" else _entry_id(given)
        try:
            async with asyncio.timeout(block_s or None):
                while not (found := self._entries(key, after, limit)) and block_s is not None:
                    await self._database.appended()
        except TimeoutError:
            return None
        return Pairs([(key, found)]) if found else None

    def _entries(self, key: bytes, after: EntryId, limit: int | None) -> list[Reply]:
        entries = (self._database.stream(key) or Stream()).entries
        found: list[Reply] = [[_text(entry_id), list(fields)] for entry_id, fields in entries if entry_id > after]
        return found[:limit]

    def _eval(self, text: bytes, keys: bytes, *rest: bytes) -> Reply:
        script = scripts.find(text)
        self._loaded[scripts.digest(text)] = text
        number = integer(keys)
        return script(self._database, rest[:number], rest[number:])

    def _evalsha(self, digest: bytes, keys: bytes, *rest: bytes) -> Reply:
        text = self._loaded.get(digest.lower())
        if text is None:
            raise CommandFailed("NOSCRIPT No matching script. Please use EVAL.")
        return self._eval(text, keys, *rest)

    def _script(self, subcommand: bytes, text: bytes) -> Reply:
        if subcommand.upper() != b"LOAD":
            raise NotModelled(f"command SCRIPT {subcommand.decode()}")
        digest = scripts.digest(text)
        self._loaded[digest] = text
        return digest

    _METHODS: ClassVar[dict[str, Callable[..., Any]]] = {
        "HELLO": _hello,
        "CLIENT": _client,
        "SELECT": _select,
        "PING": _ping,
        "TIME": _time,
        "GET": _get,
        "MGET": _mget,
        "SET": _set,
        "DEL": _delete,
        "INCRBY": _incrby,
        "EXPIRE": _expire,
        "TTL": _ttl,
        "FLUSHALL": _flushall,
        "XLEN": _xlen,
        "XADD": _xadd,
        "EVAL": _eval,
        "EVALSHA": _evalsha,
        "SCRIPT": _script,
    }


def _positive(number: int, command: str) -> int:
    if number <= 0:
        raise CommandFailed(f"ERR invalid expire time in '{command}' command")
    return number


def _entry_id(text: bytes) -> EntryId:
    ms, _, sequence = text.partition(b"-")
    if not ms.isdigit() or not (sequence.isdigit() or not sequence):
        raise CommandFailed("ERR Invalid stream ID specified as stream command argument")
    return int(ms), int(sequence or 0)


def _text(entry_id: EntryId) -> bytes:
    return b"%d-%d" % entry_id
