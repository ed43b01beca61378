"""Which addresses webhooks may be sent to."""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.webhooks.address import METADATA, AddressPolicy, AddressRefused, is_public

PUBLIC = AddressPolicy.of([80, 443], [])
REFUSED = {
    "loopback": ["127.0.0.1", "127.255.255.254", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%eth0"],
    "metadata": ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],  # noqa: S104  not to listen on
    "carriers": ["100.64.0.1", "100.127.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "4000::1", "fec0::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "benchmarks": ["198.18.0.1", "198.19.255.255"],
    "protocols": ["192.0.0.1", "192.88.99.1", "2001:10::1"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe"],
    "IPv4-compatible": ["::127.0.0.1", "::8.8.8.8"],
    "6to4": ["2002:7f00:1::", "2002:a9fe:a9fe::", "2002:808:808::1"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:3fff:fdd2"],
    "NAT64": ["64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1"],
    "no address": ["", "localhost", "127.1", "0x7f.0.0.1"],
}


@pytest.mark.parametrize("address", [address for addresses in REFUSED.values() for address in addresses])
def test_what_is_not_public_is_refused(address: str) -> None:
    """Every special range of IPv4 and IPv6, and IPv4 addresses inside of IPv6 ones."""
    with pytest.raises(AddressRefused):
        PUBLIC.check(address, 443)


@pytest.mark.parametrize(
    ("address", "connected"),
    [
        ("8.8.8.8", "8.8.8.8"),
        ("172.32.0.1", "172.32.0.1"),
        ("100.128.0.1", "100.128.0.1"),
        ("2606:4700::1111", "2606:4700::1111"),
        ("::ffff:8.8.8.8", "8.8.8.8"),
        ("64:ff9b::808:808", "8.8.8.8"),
    ],
)
def test_what_is_public_is_taken(address: str, connected: str) -> None:
    """As the address that is really meant."""
    assert str(PUBLIC.check(address, 443)) == connected


@pytest.mark.parametrize("port", [22, 25, 5432, 5672, 6379, 8000])
def test_ports_of_other_services_are_refused(port: int) -> None:
    """Only those of HTTP may be called."""
    with pytest.raises(AddressRefused, match=f"port {port} is not one of 80, 443"):
        PUBLIC.check("8.8.8.8", port)


def test_an_allowed_network_is_no_more_than_that() -> None:
    """What lies in it is called on any port; the rest of what is not public stays refused."""
    policy = AddressPolicy.of([443], ["127.0.0.0/8", "::1/128"])
    assert str(policy.check("127.0.0.1", 12345)) == "127.0.0.1"
    assert str(policy.check("::1", 12345)) == "::1"
    assert str(policy.check("::ffff:127.0.0.1", 12345)) == "127.0.0.1"
    for address in ("10.0.0.1", "169.254.1.1"):
        with pytest.raises(AddressRefused):
            policy.check(address, 443)


def test_metadata_is_refused_even_where_everything_is_allowed() -> None:
    """Nobody wants credentials of the machine to be asked for."""
    policy = AddressPolicy.of([80], ["0.0.0.0/0", "::/0"])
    for address in METADATA:
        with pytest.raises(AddressRefused):
            policy.check(str(address), 80)
    with pytest.raises(AddressRefused):
        policy.check("::ffff:169.254.169.254", 80)


@given(st.ip_addresses(v=4))
def test_ours_is_no_laxer_than_pythons(address: IPv4Address) -> None:
    """Whatever the standard library knows to be special is not public here."""
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


def test_networks_that_are_none() -> None:
    """A host inside a network is a mistake, and said so."""
    with pytest.raises(ValueError, match="host bits set"):
        AddressPolicy.of([80], ["127.0.0.1/8"])
