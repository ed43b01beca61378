"""The setting of the identity providers: what it may contain, and how a mistake is reported."""

import json
import re
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import SecretStr, ValidationError

from services.users.identity_providers import identity_providers
from services.users.settings import Settings

URL = "https://identity.example.com"
GOOD: dict[str, Any] = {"name": "example", "title": "Example", "issuer": URL, "client_id": "dashboard"}


def text(*items: object) -> str:
    return json.dumps(items)


def settings(given: str, environment: Literal["development", "production"] = "development") -> Settings:
    told = {"internal_token_secret": SecretStr("s" * 32), "signing_keys": SecretStr("AAAA" * 10 + "AAA")}
    urls = {"database_url": "postgresql://x:y@host/x", "rabbitmq_url": "amqp://x:y@host/"}
    return Settings(environment=environment, oidc_providers=SecretStr(given), **told, **urls)  # type: ignore[arg-type]


def test_none_by_default() -> None:
    assert settings("").identity_providers == settings(" ").identity_providers == []


def test_a_provider() -> None:
    """Four fields are enough for a public client. The order is kept."""
    first, second = settings(text(GOOD, {**GOOD, "name": "other", "client_secret": "s3cret"})).identity_providers
    assert (first.name, first.secret(), first.scopes) == ("example", "", ("openid", "email", "profile"))
    assert first.discovery == f"{URL}/.well-known/openid-configuration"
    assert (second.name, second.secret()) == ("other", "s3cret")


def test_a_secret_in_a_file(tmp_path: Path) -> None:
    """Without the line break at its end. A file that cannot be read stops the start."""
    held = tmp_path / "secret"
    held.write_text("s3cret\n")
    [provider] = settings(text({**GOOD, "client_secret_file": str(held)})).identity_providers
    assert provider.secret() == "s3cret"
    with pytest.raises(ValidationError, match="USERS_OIDC_PROVIDERS: client_secret_file of example: "):
        settings(text({**GOOD, "client_secret_file": str(tmp_path / "missing")}))


@pytest.mark.parametrize(
    ("item", "place"),
    [
        ({**GOOD, "name": "With Spaces"}, "item 1, name"),
        ({**GOOD, "name": "a/b"}, "item 1, name"),
        ({**GOOD, "title": ""}, "item 1, title"),
        ({**GOOD, "title": "x" * 41}, "item 1, title"),
        ({**GOOD, "issuer": "identity.example.com"}, "item 1, issuer"),
        ({**GOOD, "issuer": f"{URL}?x=1"}, "item 1, issuer"),
        ({**GOOD, "client_secret": ""}, "item 1, client_secret"),
        ({**GOOD, "client_secret": "é"}, "item 1, client_secret"),
        ({**GOOD, "client_secret": "x", "client_secret_file": "/x"}, "item 1: has client_secret and"),
        ({**GOOD, "scopes": ["email"]}, "item 1, scopes"),
        ({**GOOD, "secret": "x"}, "item 1, secret"),
        ({name: value for name, value in GOOD.items() if name != "client_id"}, "item 1, client_id"),
    ],
)
def test_a_mistake_names_its_place(item: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=f"USERS_OIDC_PROVIDERS: {re.escape(place)}"):
        identity_providers(text(item))


def test_a_mistake_shows_no_secret() -> None:
    """Neither in the message nor in the settings as text."""
    with pytest.raises(ValidationError) as refused:
        settings(text({**GOOD, "client_secret": "s3cret", "scopes": []}))
    assert "item 1, scopes" in str(refused.value)
    assert "s3cret" not in str(refused.value)
    assert "s3cret" not in repr(settings(text({**GOOD, "client_secret": "s3cret"})))


def test_two_providers_have_two_names() -> None:
    with pytest.raises(ValueError, match="item 2, name: an earlier item has the same name"):
        identity_providers(text(GOOD, GOOD))


def test_production_needs_tls() -> None:
    item = {**GOOD, "issuer": "http://identity.example.com"}
    assert settings(text(item)).identity_providers
    with pytest.raises(ValidationError, match="item 1, issuer: must begin with https:// in production"):
        settings(text(item), "production")


def test_the_example_of_the_guide_is_valid() -> None:
    page = Path("docs/how-to/sign-in-with-your-identity-provider.md").read_text()
    [example] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    [provider] = identity_providers(example)
    assert provider.name == "example"
    assert set(re.findall(r"^\| `(\w+)`", page, re.MULTILINE)) >= {"name", "title", "issuer", "client_id", "scopes"}
