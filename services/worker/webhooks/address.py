"""Where webhooks may be sent: URLs, the addresses of their hosts, and the policy for both.

A URL is parsed once and strictly: the checked URL is the one that is connected to. Names are resolved without a thread:
a lookup that hangs in the system's resolver would block all others. Only public addresses are allowed, and those that
the settings allow expressly. Their lists are defined here instead of using `ipaddress.is_global`, which differs between
Python versions. Sources: the IANA registries of special-purpose IPv4 and IPv6 addresses.
"""

import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

import aiodns
from yarl import URL

from services.worker.ledger.job import storable

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

METADATA = frozenset(map(ip_address, ("169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200")))
"""Where clouds serve credentials; blocked even inside an allowed network."""

NOT_PUBLIC_V4 = tuple(
    map(
        IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24"),
            *("192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24"),
            *("224.0.0.0/4", "240.0.0.0/4"),
        ),
    )
)
PUBLIC_V6 = IPv6Network("2000::/3")
"""All networks assigned for use on the internet; excludes loopback, private, link-local and multicast."""
NOT_PUBLIC_V6 = tuple(map(IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")))
"""The exceptions in there: Teredo and others, documentation, 6to4."""
NAT64 = IPv6Network("64:ff9b::/96")
Resolve = Callable[[str], Awaitable[list[str]]]
"""Return all addresses of a name. Raises `Unresolved`."""
MAX_URL = 2048
PORTS = {"http": 80, "https": 443}
ALLOWED = re.compile(r"[!-~\u00a1-\U0010ffff]+")
NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
LOCAL_SUFFIXES = ("localhost", "local", "internal", "home.arpa", "localdomain", "lan", "onion")


class AddressRefused(Exception):
    """The address is not allowed for webhooks. The message omits it: internal addresses must not be revealed."""


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """`allowed` networks are accepted although they are not public, on any port; public addresses only on these
    `ports`."""

    ports: frozenset[int]
    allowed: tuple[Network, ...] = ()

    @classmethod
    def of(cls, ports: Sequence[int], allowed: Sequence[str]) -> "AddressPolicy":
        """Raises `ValueError` for an invalid network."""
        return cls(frozenset(ports), tuple(map(ip_network, allowed)))

    def check(self, address: str, port: int) -> Address:
        """Return the address to connect to. Raises `AddressRefused`."""
        try:
            checked = embedded_v4(ip_address(address))
        except ValueError:
            raise AddressRefused("the name does not resolve to a valid address") from None
        if checked in METADATA:
            raise AddressRefused("the address is not public")
        if any(checked in network for network in self.allowed if network.version == checked.version):
            return checked
        if not is_public(checked):
            raise AddressRefused("the address is not public")
        self.check_port(port)
        return checked

    def check_port(self, port: int) -> None:
        """Of a public address. Raises `AddressRefused`."""
        if port not in self.ports:
            raise AddressRefused(f"port {port} is not one of {', '.join(map(str, sorted(self.ports)))}")


def embedded_v4(address: Address) -> Address:
    """Return the IPv4 address behind an IPv4-mapped or NAT64 one; any other unchanged."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address


def is_public(address: Address) -> bool:
    if isinstance(address, IPv4Address):
        return not any(address in network for network in NOT_PUBLIC_V4)
    if address.scope_id is not None or address not in PUBLIC_V6:
        return False
    return not any(address in network for network in NOT_PUBLIC_V6)


class Unresolved(Exception):
    """The name has no address at the moment."""


@asynccontextmanager
async def resolving(timeout_s: float) -> AsyncIterator[Resolve]:
    """`timeout_s` applies to one query to one name server; callers have their own timeout."""
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


class BadTarget(ValueError):
    """A URL that is not allowed, and the reason."""


@dataclass(frozen=True, slots=True)
class Target:
    """`host` is in lower case and ASCII (IDNA), without a trailing dot or brackets; `path` includes its query."""

    scheme: str
    host: str
    port: int
    path: str

    @classmethod
    def parse(cls, url: str, *, https_only: bool, local_names: bool = False) -> "Target":
        """Raises `BadTarget`. `local_names` allows names that are never public, such as `localhost`."""
        parts = _split(url)
        if parts.scheme not in PORTS:
            raise BadTarget("must begin with https://")
        if parts.scheme == "http" and https_only:
            raise BadTarget("must begin with https://; plain http is not allowed here")
        if parts.raw_user is not None or parts.raw_password is not None:
            raise BadTarget("must not contain a user name or password")
        if parts.raw_fragment:
            raise BadTarget("must not have a fragment")
        if not parts.port:
            raise BadTarget("has an invalid port")
        host = _host(parts.raw_host or "", local_names=local_names)
        return cls(parts.scheme, host, parts.port, parts.raw_path_qs)

    @property
    def is_address(self) -> bool:
        return ":" in self.host or self.host.replace(".", "").isdigit()

    @property
    def lane(self) -> str:
        """Return the identity of a host for the limits."""
        return f"{self.host}:{self.port}"

    @property
    def authority(self) -> str:
        """Return the value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


def _split(url: str) -> URL:
    if len(url) > MAX_URL:
        raise BadTarget(f"must be at most {MAX_URL} characters")
    if not ALLOWED.fullmatch(url) or "\\" in url:
        raise BadTarget("must be a URL without spaces, backslashes and control characters")
    try:
        return URL(url)
    except (ValueError, UnicodeError):
        raise BadTarget("is not a URL") from None


def _host(raw: str, *, local_names: bool) -> str:
    host = raw.lower().removesuffix(".")
    if ":" in host and "%" not in host:
        return _checked(IPv6Address, host)
    labels = host.split(".")
    if not all(0 < len(label) < 64 and re.fullmatch(r"[a-z0-9_-]+", label) for label in labels) or len(host) > 253:
        raise BadTarget("has no valid host")
    # As in browsers: a host that ends in a number is an IPv4 address, and only its ordinary notation is accepted.
    if NUMBER.fullmatch(labels[-1]):
        return _checked(IPv4Address, host)
    if not local_names and (len(labels) == 1 or any(host.endswith(f".{suffix}") for suffix in LOCAL_SUFFIXES)):
        raise BadTarget("must name a host on the internet")
    return host


def _checked(kind: type[IPv4Address] | type[IPv6Address], host: str) -> str:
    try:
        return str(kind(host))
    except AddressValueError:
        raise BadTarget("has an IP address in a form that is not accepted") from None
