"""The client address of a request: the peer's, unless the peer is a trusted proxy."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

FORWARDED = b"x-forwarded-for"
UNKNOWN = "unknown"
IPV6_PREFIX = 64
"""One customer of an internet provider has a network of at least this size; its addresses count as one."""
MAX_HOPS = 32


class ClientAddresses:
    """`trusted`: comma-separated networks of the proxies in front. In `X-Forwarded-For`, entries that trusted
    proxies have appended are trusted, from the right; entries that a client wrote are to the left of those, and
    ignored."""

    def __init__(self, trusted: str) -> None:
        self._trusted = networks(trusted)

    def client(self, scope: Scope) -> str | None:
        """Return the client's address; None if there is none, such as on a Unix socket."""
        peer = scope["client"][0] if scope.get("client") else None
        if not self._trusted or peer is None:
            return peer
        forwarded = b",".join(value for name, value in scope["headers"] if name == FORWARDED)
        return self._behind(peer, forwarded) if forwarded else peer

    def party(self, scope: Scope) -> str:
        """Return the unit that limits count: an IPv4 address, or an IPv6 network."""
        return _party(self.client(scope) or UNKNOWN)

    def _behind(self, peer: str, forwarded: bytes) -> str:
        hops = [hop.strip() for hop in forwarded.decode("latin-1").split(",")[-MAX_HOPS:]]
        nearest = peer
        while hops and self._is_trusted(nearest) and _parsed(hops[-1]):
            nearest = hops.pop()
        return nearest

    def _is_trusted(self, address: str) -> bool:
        return is_in(address, self._trusted)


def networks(text: str) -> Networks:
    """Parse a setting: comma-separated CIDR networks."""
    return tuple(ip_network(each.strip()) for each in text.split(",") if each.strip())


def is_in(address: str, named: Networks) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in named)


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=4096)
def _party(text: str) -> str:
    address = _parsed(text)
    if isinstance(address, IPv6Address):
        return str(IPv6Network((address.packed, IPV6_PREFIX), strict=False))
    return str(address) if address else text
