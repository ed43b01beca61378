"""Placeholder secrets, secrets in files, and keys that change there while a process runs."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from pydantic import SecretStr, ValidationError
from pydantic_settings import SettingsConfigDict

from services.users.settings import Settings as UserSettings
from services.users.settings import seeds_of
from shared.config.settings import PLACEHOLDER, ServiceSettings, environment
from shared.http.tokens import InvalidToken, ServiceTokens, UserTokens, b64url, key_id
from shared.ids import new_id
from shared.server.rotation import SecretFiles
from tests.support.metrics import sample
from tests.support.waiting import eventually

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


FIRST, SECOND = "f" * 32, "s" * 32
SEEDS = [b64url(bytes([number] * 32)) for number in (1, 2)]
DATABASE = "postgresql://users:secret@db/users"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of INTERNAL_TOKEN_SECRET."""
    path = tmp_path / "internal"
    path.write_text(f"{FIRST}\n")
    monkeypatch.delenv("INTERNAL_TOKEN_SECRET", raising=False)
    monkeypatch.setenv("INTERNAL_TOKEN_SECRET_FILE", str(path))
    return path


def test_every_secret_may_be_in_a_file(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a prefix or without, a secret or an address with one; white space around it does not count."""
    for name, text in {"USERS_DATABASE_URL": DATABASE, "USERS_SIGNING_KEYS": ",".join(SEEDS)}.items():
        (tmp_path / name).write_text(f"{text}\n")
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    settings = UserSettings(rabbitmq_url="amqp://broker/")
    assert settings.internal_token_secret.get_secret_value() == FIRST
    assert settings.database_url == DATABASE == environment("USERS_DATABASE_URL")
    assert settings.signing_seeds == SEEDS
    assert file.exists()


def test_an_empty_variable_does_not_count(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that compose, where a variable cannot be taken away, can still name a file."""
    monkeypatch.setenv("INTERNAL_TOKEN_SECRET", "")
    assert ServiceSettings().internal_token_secret.get_secret_value() == file.read_text().strip()


def test_a_setting_with_two_sources_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable and its file cannot both be set, and the file must exist. The error names both variables."""
    monkeypatch.setenv("INTERNAL_TOKEN_SECRET", SECOND)
    with pytest.raises(ValueError, match="both INTERNAL_TOKEN_SECRET and INTERNAL_TOKEN_SECRET_FILE"):
        ServiceSettings()
    monkeypatch.delenv("INTERNAL_TOKEN_SECRET")
    file.unlink()
    with pytest.raises(ValueError, match=r"INTERNAL_TOKEN_SECRET_FILE: .* cannot be read"):
        ServiceSettings()


def test_each_of_several_secrets_must_be_long() -> None:
    """A list is as strong as its weakest."""
    assert ServiceSettings(internal_token_secret=SecretStr(f"{FIRST}, {SECOND}"))
    with pytest.raises(ValueError, match="32 characters"):
        ServiceSettings(internal_token_secret=SecretStr(f"{FIRST},short"))


def test_the_first_secret_signs_and_all_verify() -> None:
    """A service with both secrets accepts tokens signed with either. Once the old one is removed, its tokens are
    refused, also those that were verified before."""
    old, both, new = (ServiceTokens(told, "gateway") for told in (FIRST, f"{SECOND},{FIRST}", SECOND))
    assert both.verify(old.token()) == both.verify(new.token()) == new.verify(both.token()) == "gateway"
    with pytest.raises(InvalidToken):
        old.verify(both.token())
    both.rotate(SECOND)
    with pytest.raises(InvalidToken):
        both.verify(old.token())
    old.rotate(SECOND)
    assert both.verify(old.token()) == "gateway"


def test_the_first_signing_key_signs_and_all_are_published() -> None:
    """Before and after a rotation."""
    tokens = UserTokens(SEEDS, 60)
    first = key_id(tokens.issue(*_ids(), "user"))
    tokens.rotate(SEEDS[::-1])
    second = key_id(tokens.issue(*_ids(), "user"))
    assert {key["kid"] for key in tokens.jwks["keys"]} == {first, second}
    assert first != second


async def test_a_changed_file_is_taken_over(file: Path) -> None:
    """Without a restart; what it may not be, is not, nor is a file that has gone; then the old one stays."""
    settings = ServiceSettings()
    taken: list[str] = []
    files = SecretFiles(settings, poll_s=0.01)
    files.follow("internal_token_secret", taken.append)
    watching = asyncio.create_task(files.watch())
    try:
        _write(file, "too short")
        await eventually(lambda: _read("refused") > 0)
        _write(file, f"{SECOND},{FIRST}\n")
        await eventually(lambda: taken)
        refused = _read("refused")
        _write(file, None)
        await eventually(lambda: _read("refused") > refused)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert taken == [f"{SECOND},{FIRST}"]


async def test_without_files_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the watch ends at once."""
    monkeypatch.delenv("INTERNAL_TOKEN_SECRET_FILE", raising=False)
    files = SecretFiles(ServiceSettings(internal_token_secret=SecretStr(FIRST)))
    files.follow("internal_token_secret", lambda _: None)
    await files.watch()


def test_a_seed_of_a_placeholder() -> None:
    """Development needs no key, also not after a rotation."""
    assert len(seeds_of(f"development-only-a, {SEEDS[0]}")) == 2
    assert seeds_of(f"development-only-a, {SEEDS[0]}")[1] == SEEDS[0]


def _ids() -> tuple[UUID, UUID]:
    return new_id(), new_id()


def _write(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


def _read(outcome: str) -> float:
    labels = {"setting": "INTERNAL_TOKEN_SECRET", "outcome": outcome}
    return sample("secret_files_read_total", labels) or 0.0
