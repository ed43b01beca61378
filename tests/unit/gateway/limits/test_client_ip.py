"""Which address counts as the client's."""

import pytest

from services.gateway.limits.client_ip import ClientAddresses

PROXIES = "10.0.0.0/8, 2001:db8:1::/48"


def asked(peer: str, *forwarded: str) -> dict[str, object]:
    return {"client": (peer, 1), "headers": [(b"x-forwarded-for", each.encode()) for each in forwarded]}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),  # no proxy: not believed
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1, 192.0.2.1"], "192.0.2.1"),  # the client wrote the first
        ("10.0.0.1", ["198.51.100.1", "192.0.2.1, 10.2.3.4"], "192.0.2.1"),  # two proxies, two headers
        ("10.0.0.1", ["10.9.9.9"], "10.9.9.9"),
        ("10.0.0.1", ["192.0.2.1, rubbish"], "10.0.0.1"),
        ("::ffff:10.0.0.1", ["192.0.2.1"], "192.0.2.1"),
        ("2001:db8:1::5", ["2001:db8:2::1"], "2001:db8:2::1"),
    ],
)
def test_the_client_behind_proxies(peer: str, forwarded: list[str], client: str) -> None:
    """The first address from the right that is no trusted proxy's; what stands left of it a client may have written."""
    assert ClientAddresses(PROXIES).client(asked(peer, *forwarded)) == client


def test_without_proxies_the_peer_is_the_client() -> None:
    """Whatever the headers say."""
    assert ClientAddresses("").client(asked("10.0.0.1", "192.0.2.1")) == "10.0.0.1"
    assert ClientAddresses("").client({"client": None, "headers": []}) is None


def test_a_customer_with_a_whole_network_is_one_party() -> None:
    """IPv6 addresses of one /64 count together, an IPv4 address by itself, in whichever way it is written."""
    addresses = ClientAddresses("")
    assert addresses.party(asked("2001:db8::1")) == addresses.party(asked("2001:db8::ffff:1"))
    assert addresses.party(asked("2001:db8::1")) != addresses.party(asked("2001:db8:0:1::1"))
    assert addresses.party(asked("::ffff:192.0.2.1")) == addresses.party(asked("192.0.2.1"))
