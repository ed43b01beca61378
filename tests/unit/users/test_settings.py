"""The signing keys of the users service."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from services.users.settings import Settings

SEED = "A" * 43


def _settings(**given: Any) -> Settings:
    urls = {"database_url": "postgresql://x@127.0.0.1/x", "rabbitmq_url": "amqp://127.0.0.1/"}
    secret = {"internal_token_secret": SecretStr("x" * 32)}
    return Settings(**(urls | secret | {"environment": "production"} | given))


def test_the_placeholder_key_is_refused_outside_development() -> None:
    """A key that everyone can derive is never used to sign; the message names the variable."""
    with pytest.raises(ValidationError, match="USERS_SIGNING_KEYS is still the placeholder"):
        _settings()


def test_development_has_a_key_without_being_given_one() -> None:
    """The key is always the same, so that tokens survive a restart."""
    development = [_settings(environment="development").signing_seeds for _ in range(2)]
    assert development[0] == development[1]
    assert len(development[0]) == 1


def test_several_keys_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    """The keys may be separated with or without spaces, in the environment."""
    monkeypatch.setenv("USERS_SIGNING_KEYS", f"{SEED}, {'B' * 42}A")
    assert _settings().signing_seeds == [SEED, "B" * 42 + "A"]


@pytest.mark.parametrize("keys", ["", "x", f"{SEED},", "é" * 43, SEED * 2, "A" * 42])
def test_keys_that_cannot_sign_are_refused_at_start(keys: str) -> None:
    """The message names the variable and not the key."""
    with pytest.raises(ValidationError, match="USERS_SIGNING_KEYS must be") as refused:
        _settings(signing_keys=SecretStr(keys))
    assert not keys.strip("A") or keys not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["dash.example.com", "ftp://dash.example.com", "https://", "https://x.example/?a=b", "https://x/#a"]
)
def test_a_public_page_that_no_link_can_lead_to_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="PUBLIC_URL"):
        _settings(signing_keys=SecretStr(SEED), PUBLIC_URL=url)


def test_the_public_page_is_only_assumed_in_development() -> None:
    """Elsewhere links would lead to the reader's own machine."""
    assert _settings(environment="development").page == "http://127.0.0.1:8000"
    assert _settings(signing_keys=SecretStr(SEED)).page is None
    assert _settings(signing_keys=SecretStr(SEED), PUBLIC_URL="https://x.example/").page == "https://x.example"
