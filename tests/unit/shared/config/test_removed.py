"""Environment variables of earlier versions."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr
from pydantic_settings import SettingsConfigDict
from structlog.testing import capture_logs

from services.gateway.settings import Settings as GatewaySettings
from services.users.settings import Settings as UsersSettings
from shared.config.removed import REMOVED, RENAMED
from shared.config.settings import ServiceSettings, obsolete
from shared.server import serve
from tools.docs.configuration import all_rows

ROOT = Path(__file__).parents[4]
SECRET = SecretStr("x" * 32)


class Gateway(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="GATEWAY_")


def test_no_setting_of_today_is_among_them() -> None:
    """Each new name exists, and no old one does."""
    today = all_rows().keys()
    assert not today & (REMOVED | RENAMED.keys())
    assert set(RENAMED.values()) <= today
    assert not REMOVED & RENAMED.keys()


def test_a_removed_variable_is_named_when_a_process_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once each, and only to the service that it was for."""
    for name in ("GATEWAY_HEDGE_MIN_S", "WORKER_HOLD_S", "SECRET_FILES_POLL_S", "GATEWAY_DRAIN_S"):
        monkeypatch.setenv(name, "1")
    with capture_logs() as logs:
        serve._warn_of_removed_settings("gateway")
    told = [(entry["event"], entry["setting"], entry["log_level"]) for entry in logs]
    ignored, renamed = "this setting no longer exists and is ignored", "this setting has a new name"
    assert told == [
        (renamed, "GATEWAY_DRAIN_S", "warning"),
        (ignored, "GATEWAY_HEDGE_MIN_S", "warning"),
        (ignored, "SECRET_FILES_POLL_S", "warning"),
    ]
    assert logs[0]["new_name"] == "DRAIN_S"


def test_an_environment_of_today_is_not_warned_of() -> None:
    assert list(obsolete(dict.fromkeys(all_rows(), "1"), "gateway")) == []


def test_a_renamed_variable_still_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """For its own service alone; the new name goes before it, and what is passed goes before both."""
    monkeypatch.setenv("GATEWAY_DRAIN_S", "3")
    monkeypatch.setenv("USERS_DRAIN_S", "4")
    assert Gateway(internal_token_secret=SECRET).drain_s == 3
    assert Gateway(internal_token_secret=SECRET, drain_s=7).drain_s == 7
    monkeypatch.setenv("DRAIN_S", "5")
    assert Gateway(internal_token_secret=SECRET).drain_s == 5


def test_a_renamed_variable_may_be_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As every setting may, and is named then, too."""
    (tmp_path / "drain").write_text("6\n")
    monkeypatch.setenv("GATEWAY_DRAIN_S_FILE", str(tmp_path / "drain"))
    assert Gateway(internal_token_secret=SECRET).drain_s == 6
    assert list(obsolete({"GATEWAY_DRAIN_S_FILE": "", "GATEWAY_HEDGE_MIN_S_FILE": ""}, "gateway")) == [
        "GATEWAY_DRAIN_S_FILE",
        "GATEWAY_HEDGE_MIN_S_FILE",
    ]


def test_two_services_share_the_lifetimes_of_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one variable each, so that they cannot differ."""
    monkeypatch.setenv("ACCESS_TOKEN_TTL_S", "100")
    monkeypatch.setenv("REFRESH_TOKEN_TTL_S", "200")
    gateway = GatewaySettings(environment="development")
    users = UsersSettings(environment="development", database_url="", rabbitmq_url="")
    assert gateway.access_token_ttl_s == users.access_token_ttl_s == 100
    assert gateway.session_cookie_ttl_s == users.refresh_token_ttl_s == 200


def test_the_upgrade_notes_list_them() -> None:
    """docs/upgrading.md lists all removed variables by prefix, and each renamed one beside its new name."""
    page = (ROOT / "docs/upgrading.md").read_text()
    removed = {
        f"{prefix}_{name}"
        for prefix, names in re.findall(r"^\| `([A-Z]+)_` \| (.*) \|$", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }
    assert removed | {"SECRET_FILES_POLL_S"} == REMOVED
    renamed = {
        old: new
        for olds, new in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| `(\w+)` \|$", page, re.MULTILINE)
        for old in re.findall(r"`(\w+)`", olds)
    }
    assert renamed == RENAMED
