"""Which addresses webhooks may be sent to.

The URLs that webhooks may have.
"""

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.webhooks.address import METADATA, AddressPolicy, AddressRefused, BadTarget, Target, is_public

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


def parse(url: str, *, https_only: bool = False, local_names: bool = False) -> Target:
    return Target.parse(url, https_only=https_only, local_names=local_names)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://example.com", Target("https", "example.com", 443, "/")),
        ("https://example.com/a?b=c&d=%20", Target("https", "example.com", 443, "/a?b=c&d=%20")),
        ("HTTPS://EXAMPLE.com:8443/A", Target("https", "example.com", 8443, "/A")),
        ("http://example.com.", Target("http", "example.com", 80, "/")),
        ("https://bücher.example/", Target("https", "xn--bcher-kva.example", 443, "/")),
        ("https://8.8.8.8/", Target("https", "8.8.8.8", 443, "/")),
        ("https://[2606:4700:0::1111]/", Target("https", "2606:4700::1111", 443, "/")),
    ],
)
def test_what_a_url_says(url: str, target: Target) -> None:
    """Its host in ASCII and lower case, its path as it is sent."""
    assert parse(url) == target


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.com", "/hook", "ftp://example.com", "file:///etc/passwd", "gopher://example.com", "https://"),
        *("https://a:b@example.com", "https://example.com@127.0.0.1/", "https://example.com#x", "https:example.com"),
        *("https://example.com:0", "https://example.com:99999", "https://example.com:x"),
        *("https://exa mple.com", "https://example.com/\n", "https://example.com\\@127.0.0.1/", "https://\x00.com"),
        *("https://a..example.com", "https://.example.com", f"https://{'a' * 64}.com", "https://example.com.."),
        *("https://0x7f.1", "https://0x7f000001", "https://2130706433", "https://017700000001", "https://127.1"),
        *("https://0177.0.0.1", "https://1.2.3.4.5", "https://example.123", "https://a.0x", "https://127.0.0.1.5"),
        *("https://[::1%25eth0]", "https://[::1", "https://[::g]"),
        *("https://localhost", "https://postgres", "https://a.localhost", "https://metadata.google.internal"),
        *("https://printer.local", "https://localhost."),
        "https://example.com/" + "a" * 2048,
    ],
)
def test_what_no_webhook_can_have(url: str) -> None:
    """No other schemes, no credentials, no odd spellings of addresses, no names that are never public."""
    with pytest.raises(BadTarget):
        parse(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.1.", "[::1]", "１２７.０.０.１", "127。0。0。1"])  # noqa: RUF001
def test_an_address_however_written_is_seen_as_one(host: str) -> None:
    """So that it is judged as the address that it is."""
    assert parse(f"https://{host}/").host in ("127.0.0.1", "::1")
    assert parse(f"https://{host}/").is_address


def test_plain_http_only_where_it_is_allowed() -> None:
    """Outside development it is not."""
    with pytest.raises(BadTarget, match="plain http is not allowed"):
        parse("http://example.com", https_only=True)


def test_local_names_where_local_networks_are_allowed() -> None:
    """For a receiver on the developer's own machine."""
    assert parse("http://localhost:9000/", local_names=True).lane == "localhost:9000"


def test_the_host_header() -> None:
    """With the port where it is not the scheme's, and brackets around an IPv6 address."""
    assert parse("https://example.com:443").authority == "example.com"
    assert parse("https://example.com:8443").authority == "example.com:8443"
    assert parse("https://[2606:4700::1111]:8443").authority == "[2606:4700::1111]:8443"


@given(st.text())
def test_any_text_is_a_target_or_refused(text: str) -> None:
    """Nothing else happens, whatever is given."""
    for url in (text, f"https://{text}", f"https://{text}.example.com/{text}"):
        try:
            target = parse(url)
        except BadTarget:
            continue
        assert target.host.isascii()
        assert target.path.startswith("/")
        assert target.path.isascii()
        assert target.path.isprintable()
        assert " " not in target.path
