"""A bound on what a mail server may send. aiosmtplib bounds one reply (32 KiB) and drops what comes between replies."""

import asyncio
from typing import cast

import aiosmtplib

from shared.logs import get_logger

MAX_BYTES = 64 * 1024
"""For one mail: the replies, and all that comes until the connection is used again."""

log = get_logger(__name__)


class SmtpMeter(asyncio.Protocol):
    """Passes on what arrives. Aborts the connection once it has received more than `MAX_BYTES` since `renew`."""

    def __init__(self, inner: asyncio.Protocol, transport: asyncio.Transport) -> None:
        self._inner = inner
        self._transport = transport
        self._received = 0
        self.connection_lost = inner.connection_lost  # type: ignore[method-assign]
        self.eof_received = inner.eof_received  # type: ignore[method-assign]
        self.pause_writing = inner.pause_writing  # type: ignore[method-assign]
        self.resume_writing = inner.resume_writing  # type: ignore[method-assign]

    @classmethod
    def renew(cls, client: aiosmtplib.SMTP) -> None:
        """Counts from zero on a connection; puts a meter on it if it has none."""
        if client.transport is None or client.protocol is None:
            return
        transport = cast("asyncio.Transport", client.transport)
        if isinstance(meter := transport.get_protocol(), cls):
            meter._received = 0
        else:
            transport.set_protocol(cls(client.protocol, transport))

    def data_received(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > MAX_BYTES:
            log.warning("the mail server sends without end", received=self._received)
            self._transport.abort()
        else:
            self._inner.data_received(data)
