"""Frames of AMQP 0-9-1 on a stream, and the errors with which a broker closes a channel or a connection."""

import asyncio

from pamqp import frame as codec
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.constants import FRAME_HEADER_SIZE
from pamqp.exceptions import PAMQPException
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader, ProtocolHeader

PROTOCOL_HEADER_SIZE = 8
FRAME_MAX = 131072
OVERHEAD = 8
"""The bytes of a frame around its payload."""


class ChannelFailed(Exception):
    """The broker closes the channel. `code` and `text` are those of `channel.close`."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text


class ConnectionFailed(ChannelFailed):
    """The broker closes the connection."""


class NotModelled(ConnectionFailed):
    """The client uses something that the model does not have. A simulation must not go on as if it had been done."""

    def __init__(self, what: str) -> None:
        super().__init__(540, f"NOT_IMPLEMENTED - the model of RabbitMQ has no {what}")


def not_found(kind: str, name: str) -> ChannelFailed:
    return ChannelFailed(404, f"NOT_FOUND - no {kind} '{name}' in vhost '/'")


def refused(text: str) -> ChannelFailed:
    return ChannelFailed(403, f"ACCESS_REFUSED - {text}")


def precondition_failed(text: str) -> ChannelFailed:
    return ChannelFailed(406, f"PRECONDITION_FAILED - {text}")


def inequivalent(argument: str, kind: str, name: str, received: object, current: object) -> ChannelFailed:
    return precondition_failed(
        f"inequivalent arg '{argument}' for {kind} '{name}' in vhost '/': "
        f"received {_said(received)} but current is {_said(current)}"
    )


def _said(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"'{str(value).lower()}'"
    return f"the value '{value}'"


async def read_protocol_header(reader: asyncio.StreamReader) -> None:
    """Read the client's greeting. Raises `ConnectionError` if it is not that of AMQP 0-9-1."""
    greeting = await reader.readexactly(PROTOCOL_HEADER_SIZE)
    if greeting != ProtocolHeader().marshal():
        raise ConnectionAbortedError(f"not a client of AMQP 0-9-1: {greeting!r}")


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, FrameTypes]:
    """Return the channel and the frame. Raises `IncompleteReadError` at the end, and `ConnectionError`."""
    head = await reader.readexactly(FRAME_HEADER_SIZE)
    size = codec.frame_parts(head)[2] or 0
    try:
        _, channel, frame = codec.unmarshal(head + await reader.readexactly(size + 1))
    except PAMQPException as broken:
        raise ConnectionAbortedError(repr(broken)) from broken
    return channel, frame


def content_frames(properties: Basic.Properties, body: bytes) -> list[FrameTypes]:
    """Return the header of a message and its body, in parts that fit into frames."""
    size = FRAME_MAX - OVERHEAD
    header = ContentHeader(body_size=len(body), properties=properties)
    return [header, *(ContentBody(body[at : at + size]) for at in range(0, len(body), size))]
