"""Requests and replies of RESP2 and RESP3 on a stream."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MAX_BULK_BYTES = 512 * 1024 * 1024


class CommandFailed(Exception):
    """The server answers with this error, such as `ERR syntax error`."""


class NotModelled(CommandFailed):
    """The client uses something that the model does not have."""

    def __init__(self, what: str) -> None:
        super().__init__(f"ERR the model of Redis has no {what}")


@dataclass(frozen=True, slots=True)
class Pairs:
    """A map that is an array of pairs in RESP2, not a flat array."""

    items: Sequence[tuple[bytes, "Reply"]]


Reply = None | int | bytes | str | Sequence["Reply"] | Mapping[str, "Reply"] | Pairs
"""Text is a simple string, and bytes are a bulk string."""


async def read_command(reader: asyncio.StreamReader) -> list[bytes]:
    """Return a command and its arguments; empty for an empty line. Raises `IncompleteReadError` at the end, and
    `ConnectionError`."""
    line = await _line(reader)
    if not line.startswith(b"*"):
        return line.split()
    return [await _bulk(reader) for _ in range(_number(line))]


async def _bulk(reader: asyncio.StreamReader) -> bytes:
    size = _number(await _line(reader))
    return (await reader.readexactly(size + 2))[:-2]


async def _line(reader: asyncio.StreamReader) -> bytes:
    return (await reader.readuntil(b"\r\n"))[:-2]


def _number(line: bytes) -> int:
    digits = line[1:]
    if not digits.isdigit() or int(digits) > MAX_BULK_BYTES:
        raise ConnectionAbortedError(f"not RESP: {line!r}")
    return int(digits)


def encode(reply: Reply, protocol: int) -> bytes:
    """Format a reply for RESP2 or RESP3."""
    match reply:
        case None:
            return b"_\r\n" if protocol == 3 else b"$-1\r\n"
        case int():
            return b":%d\r\n" % reply
        case str():
            return b"+%s\r\n" % reply.encode()
        case bytes():
            return b"$%d\r\n%s\r\n" % (len(reply), reply)
        case Pairs(items) if protocol == 3:
            return b"%%%d\r\n" % len(items) + b"".join(encode(each, 3) for pair in items for each in pair)
        case Pairs(items):
            return encode([list(pair) for pair in items], 2)
        case Mapping():
            flat = [
                each
                for key, value in reply.items()
                for each in (encode(key.encode(), protocol), encode(value, protocol))
            ]
            head = b"%%%d\r\n" % len(reply) if protocol == 3 else b"*%d\r\n" % len(flat)
            return head + b"".join(flat)
    return b"*%d\r\n" % len(reply) + b"".join(encode(each, protocol) for each in reply)


def encode_error(failed: CommandFailed) -> bytes:
    return b"-%s\r\n" % str(failed).replace("\r", " ").replace("\n", " ").encode()
