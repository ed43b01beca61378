"""The addresses to which webhooks may be sent: public ones, and those that are expressly allowed.

The lists are defined here instead of using `ipaddress.is_global`, which differs between Python versions. Sources: the
IANA registries of special-purpose IPv4 and IPv6 addresses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)

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
