"""Names to addresses, without a thread: one that hangs in the system's resolver would hold up everybody else's."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import aiodns

from services.worker.ledger.job_message import storable

Resolve = Callable[[str], Awaitable[list[str]]]
"""All addresses of a name. Raises `Unresolved`."""


class Unresolved(Exception):
    """The name has no address now, as far as anybody says."""


@asynccontextmanager
async def resolving(timeout_s: float) -> AsyncIterator[Resolve]:
    """`timeout_s` is that of one question to one name server; callers have a timeout of their own."""
    resolver = aiodns.DNSResolver(timeout=timeout_s, tries=2)

    async def resolve(name: str) -> list[str]:
        try:
            found = await resolver.getaddrinfo(name, family=socket.AF_UNSPEC, type=socket.SOCK_STREAM)
        except aiodns.error.DNSError as error:
            raise Unresolved(storable(f"the name cannot be resolved: {error.args[-1]}", 200)) from None
        addresses = [node.addr[0].decode() for node in found.nodes]
        if not addresses:
            raise Unresolved("the name has no address")
        return addresses

    try:
        yield resolve
    finally:
        await resolver.close()
