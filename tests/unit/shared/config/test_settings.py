"""Placeholder secrets."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from shared.config.settings import PLACEHOLDER, ServiceSettings

GOOD = SecretStr("x" * 32)


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="EXAMPLE_")

    key: SecretStr = SecretStr(f"{PLACEHOLDER}-key")


def test_development_needs_no_secrets() -> None:
    """Everything has a default there."""
    assert PLACEHOLDER in Settings(environment="development").key.get_secret_value()


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ({"key": GOOD}, "INTERNAL_TOKEN_SECRET"),
        ({"internal_token_secret": GOOD}, "EXAMPLE_KEY"),
        ({"internal_token_secret": GOOD, "key": SecretStr(f"my-{PLACEHOLDER}")}, "EXAMPLE_KEY"),
    ],
)
def test_a_placeholder_is_refused_in_production(given: dict[str, Any], variable: str) -> None:
    """Production is the default; the message names the variable to set."""
    with pytest.raises(ValidationError, match=f"{variable} is still the placeholder"):
        Settings(**given)


def test_secrets_of_ones_own_are_accepted_and_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the environment, with the service's prefix and without; neither appears in a repr."""
    monkeypatch.setenv("INTERNAL_TOKEN_SECRET", "s" * 32)
    monkeypatch.setenv("EXAMPLE_KEY", "very secret")
    settings = Settings()
    assert settings.environment == "production"
    assert settings.key.get_secret_value() == "very secret"
    assert "very secret" not in repr(settings)
    assert "ssss" not in repr(settings)


def test_a_short_internal_secret_is_refused() -> None:
    """HS256 wants 32 bytes."""
    with pytest.raises(ValidationError):
        Settings(internal_token_secret=SecretStr("x" * 31), key=GOOD)
