"""The URLs that webhooks may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.worker.webhooks.target import BadTarget, Target


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
