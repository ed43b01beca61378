"""The description of a device by its `User-Agent`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.users.sessions.devices import MAX_DEVICE, MAX_USER_AGENT, describe

IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)"
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0"


@pytest.mark.parametrize(
    ("user_agent", "device"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0", "Firefox on Linux"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", "Chrome on Windows"),
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36 Edg/139.0.0.0", "Edge on Windows"),
        (f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36", "Chrome Mobile on Android"),
        (
            f"{IPHONE} AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
            "Mobile Safari on iOS",
        ),
        ("curl/8.5.0", "curl"),
        ("python-httpx/0.28.1", "python-httpx"),
        ("my-script", "my-script"),
        ("", None),
        ("(nothing)", None),
    ],
)
def test_a_device_is_named_by_browser_and_system(user_agent: str, device: str | None) -> None:
    """A program is named by its product; a header that says nothing gives no name."""
    assert describe(user_agent) == device


@given(st.text(max_size=2 * MAX_USER_AGENT))
def test_any_header_has_a_short_description(user_agent: str) -> None:
    """No header raises, and none makes a long or an empty description."""
    device = describe(user_agent)
    assert device is None or 0 < len(device) <= MAX_DEVICE


@pytest.mark.parametrize("piece", ["a/", "Mozilla/5.0 ", "(", "; ", "x" * 50, "Android 1", "0.0.", "Opera/9 "])
def test_of_a_long_header_only_the_beginning_is_read(piece: str) -> None:
    """So no header takes long to recognise."""
    assert describe(piece * 100_000) == describe((piece * 100_000)[:MAX_USER_AGENT])
