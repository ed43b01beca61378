"""The worker's settings, and what its constants must have to do with each other."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.worker.email.users import TIMEOUT_S
from services.worker.settings import DEFAULTS, Settings
from shared.config.settings import PageUnknown

NEEDED: dict[str, Any] = {
    "database_url": "postgresql://x@127.0.0.1:1/x",
    "rabbitmq_url": "amqp://127.0.0.1:1/",
    "internal_token_secret": SecretStr("s" * 32),
}


def test_leases_outlast_their_work() -> None:
    """Otherwise a second worker would take up what the first is still doing."""
    assert DEFAULTS.mail_lease_s > DEFAULTS.smtp_send_timeout_s + TIMEOUT_S


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://dashboard.example.com", "https://dashboard.example.com"),
        ("https://example.com/dashboard/", "https://example.com/dashboard"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("", "http://127.0.0.1:8000"),
    ],
)
def test_the_address_of_the_page(given: str, url: str) -> None:
    """Without a slash at its end; in development it need not be set."""
    assert Settings(environment="development", public_url=given, **NEEDED).page == url


@pytest.mark.parametrize(
    "given",
    [
        *("dashboard.example.com", "ftp://example.com", "javascript:alert(1)", "https://", "https://a.example/?q=1"),
        *(
            "https://a.example/#x",
            "https://a.example>",
            "https://a.example\r\nBcc: x",
            "https://a.example ",
            "https://ä.example",
        ),
    ],
)
def test_an_address_that_no_header_can_hold(given: str) -> None:
    """It stops the start, and the message names the variable."""
    with pytest.raises(ValidationError, match="PUBLIC_URL"):
        Settings(environment="development", **NEEDED, PUBLIC_URL=given)


async def test_production_needs_the_address_of_the_page() -> None:
    """Without it mails have no links, which would lead to the recipient's own machine, and `/readyz` says so."""
    without = Settings(environment="production", **NEEDED)
    assert without.page is None
    with pytest.raises(PageUnknown, match="PUBLIC_URL is not set"):
        await without.check_page()
    known = Settings(environment="production", public_url="https://a.example", **NEEDED)
    assert known.page == "https://a.example"
    await known.check_page()
    await Settings(environment="development", **NEEDED).check_page()
