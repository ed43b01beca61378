"""The examples of docs/webhooks.md, run as they stand there."""

import re
import time
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest

from services.worker.webhooks import signing
from services.worker.webhooks.schemas import EventName
from services.worker.webhooks.settings import WebhookSettings, WebhookTuning

PAGE = Path("docs/webhooks.md").read_text()
SECRET = signing.new_secret()
BODY = b'{"type": "order.paid", "timestamp": "2026-01-31T12:00:00Z", "data": {"total": 2500}}'


def example(containing: str) -> dict[str, Any]:
    """The names that the one example with this in it defines."""
    [code] = [code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if containing in code]
    defined: dict[str, Any] = {}
    exec(code, defined)  # noqa: S102  it is our own
    return defined


async def test_the_receiver(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes a genuine call, does nothing for its repetition, and refuses a forged one."""
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    app = example("FastAPI")["app"]
    headers = signing.headers([SECRET], "id", int(time.time()), BODY)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://receiver") as http:
        for _ in range(2):
            assert (await http.post("/hooks/dashboard", content=BODY, headers=headers)).status_code == 204
        assert (await http.post("/hooks/dashboard", content=BODY + b" ", headers=headers)).status_code == 400
    assert capsys.readouterr().out == "order.paid {'total': 2500}\n"


def test_without_a_library() -> None:
    """It tells a genuine call from a forged and from an old one, also while a secret is replaced."""
    is_genuine = example("is_genuine")["is_genuine"]
    now = int(time.time())
    headers = signing.headers([signing.new_secret(), SECRET], "id", now, BODY)
    assert is_genuine(SECRET, headers, BODY)
    assert not is_genuine(SECRET, headers, BODY + b" ")
    assert not is_genuine(signing.new_secret(), headers, BODY)
    assert not is_genuine(SECRET, signing.headers([SECRET], "id", now - 600, BODY), BODY)


def test_what_the_page_says_of_events_and_limits() -> None:
    """As the code has it."""
    assert all(f"`{name}`" in PAGE for name in get_args(EventName))
    assert f"up to {WebhookTuning().webhook_attempts} times" in PAGE
    assert f"| {WebhookSettings.model_fields['webhook_calls'].default} |" in PAGE
    assert f"| {WebhookTuning().webhook_calls_per_host}, and" in PAGE
