"""Where the processes are."""

import json
from pathlib import Path

import pytest

from tools.cli.addresses import Process, gateway_url, local_stack, processes

STACK = {
    "gateway": {"url": "http://g:1", "urls": ["http://g:1"], "internal_urls": ["http://g:2"]},
    "users": {"url": "http://u:1", "urls": ["http://u:1", "http://u:2"]},
    "orders": {"urls": ["http://o:1"]},
    "worker": {"urls": ["http://w:1"]},
}


def test_the_stack_on_this_machine() -> None:
    """All of its processes, the gateway's at its internal port, replicas numbered."""
    found = processes({}, STACK)
    assert [(one.name, one.url) for one in found] == [
        ("gateway", "http://g:2"),
        ("users", "http://u:1"),
        ("users-2", "http://u:2"),
        ("orders", "http://o:1"),
        ("worker", "http://w:1"),
    ]
    assert gateway_url(None, STACK) == "http://g:1"


def test_what_is_given_comes_first() -> None:
    """A service's addresses as the gateway has them take the place of the stack's, and of the usual ones."""
    given = {"worker": "http://a:1/, http://b:1"}
    assert processes(given, STACK)[-2:] == [Process("worker", "http://a:1"), Process("worker-2", "http://b:1")]
    assert processes(given, {})[1] == Process("users", "http://127.0.0.1:8001")
    assert gateway_url("http://x:1/", STACK) == "http://x:1"
    assert gateway_url(None, {}) == "http://127.0.0.1:8000"


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_no_stack(tmp_path: Path, content: str | None) -> None:
    """Where none runs, or its file cannot be read, nothing is known, and nothing fails."""
    if content is not None:
        (tmp_path / "stack.json").write_text(content)
    assert local_stack(tmp_path) == {}


def test_a_stack_is_read(tmp_path: Path) -> None:
    """From stack.json in its data folder."""
    (tmp_path / "stack.json").write_text(json.dumps(STACK))
    assert local_stack(tmp_path) == STACK
