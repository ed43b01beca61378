"""`dashboard mail preview`."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from services.worker import jobs
from services.worker.email.messages import MESSAGES
from tools.cli.main import app


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PUBLIC_URL", "WORKER_MAIL_FROM", "WORKER_JOBS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def previewed(*arguments: str) -> list[str]:
    done = CliRunner().invoke(app, ("mail", "preview", *arguments))
    assert done.exit_code == 0, done.output
    return done.stdout.split()


def test_every_mail_is_written(folder: Path) -> None:
    """As text and as HTML, with an index of them."""
    jobs.discover()
    assert previewed() == [f".local/mails/{name}.{form}" for name in sorted(MESSAGES) for form in ("txt", "html")]
    place = folder / ".local/mails"
    assert "Hello Ada Lovelace," in (place / "order_created.txt").read_text()
    assert "http://127.0.0.1:8000/v1/unsubscribe/" in (place / "order_created.html").read_text()
    assert all(f'href="{name}.html"' in (place / "index.html").read_text() for name in MESSAGES)


@pytest.mark.parametrize("wanted", ["order_status", "order_shipped"])
def test_one_kind_or_one_mail(folder: Path, monkeypatch: pytest.MonkeyPatch, wanted: str) -> None:
    """Only that is written, with the addresses that the worker would use."""
    monkeypatch.setenv("PUBLIC_URL", "https://dashboard.example.com")
    monkeypatch.setenv("WORKER_MAIL_FROM", "Tea <tea@example.com>")
    assert previewed(wanted, "--output", "there") == ["there/order_shipped.txt", "there/order_shipped.html"]
    html = (folder / "there/order_shipped.html").read_text()
    assert "https://dashboard.example.com/#/orders/" in html
    assert ">Tea</td>" in html


def test_they_are_opened_in_the_browser(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    previewed("--open", "--output", "there")
    assert opened == [(folder / "there/index.html").as_uri()]


def test_an_unknown_kind(folder: Path) -> None:
    """It is an error that names the kinds, and writes nothing."""
    done = CliRunner().invoke(app, ("mail", "preview", "nonsense"))
    assert done.exit_code == 1
    assert done.stderr.startswith("dashboard: no mail has the kind or name nonsense; there are ")
    assert "order_confirmation" in done.stderr
    assert list(folder.iterdir()) == []


def test_modules_with_other_jobs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that cannot be imported is named."""
    monkeypatch.setenv("WORKER_JOBS", "nonsense.jobs")
    done = CliRunner().invoke(app, ("mail", "preview"))
    assert done.exit_code == 1
    assert "WORKER_JOBS names nonsense.jobs" in done.stderr
    assert list(folder.iterdir()) == []
