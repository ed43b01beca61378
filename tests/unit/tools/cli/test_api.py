"""The gateway's address, and commands that are sent in batches."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.cli.api import MAX_BATCH, Progress, gateway_url, in_batches, local_stack

STACK = {"gateway": {"url": "http://g:1", "urls": ["http://g:1"], "internal_urls": ["http://g:2"]}}


def test_the_address_of_the_gateway() -> None:
    """A given address takes precedence over the stack's, and the stack's over the default."""
    assert gateway_url("http://x:1/", STACK) == "http://x:1"
    assert gateway_url(None, STACK) == "http://g:1"
    assert gateway_url(None, {}) == "http://127.0.0.1:8000"


@pytest.mark.parametrize("content", [None, "", "{", "[]"])
def test_no_stack(tmp_path: Path, content: str | None) -> None:
    """Without a stack, or with an unreadable state file, nothing is known and nothing fails."""
    if content is not None:
        (tmp_path / "stack.json").write_text(content)
    assert local_stack(tmp_path) == {}


def test_a_stack_is_read(tmp_path: Path) -> None:
    """The state file is stack.json in the data folder."""
    (tmp_path / "stack.json").write_text(json.dumps(STACK))
    assert local_stack(tmp_path) == STACK


def ledger(dead: int, sent: list[dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return responses like the worker's, while there are dead jobs."""
    left = dead

    def answer(order: dict[str, Any]) -> dict[str, Any]:
        nonlocal left
        sent.append(order)
        replayed = 0 if order.get("dry_run") else min(left, order["limit"])
        left -= replayed
        return {"matched": left + replayed, "replayed": replayed, "as_of": "then"}

    return answer


@pytest.mark.parametrize(
    ("dead", "limit", "sizes"),
    [(0, None, []), (3, None, [3]), (2200, None, [1000, 1000, 200]), (2200, 1100, [1000, 100]), (3, 600, [3])],
)
def test_an_order_is_sent_until_all_is_done(dead: int, limit: int | None, sizes: list[int]) -> None:
    """Every batch applies to jobs that have not changed since the first request, up to the limit."""
    sent: list[dict[str, Any]] = []
    *_, last = in_batches(ledger(dead, sent), {"job": "email"}, "replayed", limit)
    assert last == Progress(dead, sum(sizes), sum(sizes))
    assert sent == [
        {"job": "email", "dry_run": True},
        *({"job": "email", "as_of": "then", "limit": size} for size in sizes),
    ]


def test_a_rate_goes_on_across_batches() -> None:
    """A later batch starts where the earlier ones end, minus the elapsed time."""
    sent: list[dict[str, Any]] = []
    times = iter([0.0, 0.0, 10.0])
    list(in_batches(ledger(2 * MAX_BATCH, sent), {"rate_per_s": 10.0}, "replayed", clock=lambda: next(times)))
    assert [order["delay_s"] for order in sent[1:]] == [0, MAX_BATCH / 10 - 10]


def test_somebody_else_was_faster() -> None:
    """It ends when no jobs are left to change."""
    answers = iter([{"matched": 3, "replayed": 0, "as_of": "then"}] * 2)
    assert list(in_batches(lambda _: next(answers), {}, "replayed")) == [Progress(3, 3, 0)]


def test_a_dry_run_only_counts() -> None:
    """Only the first request is sent."""
    sent: list[dict[str, Any]] = []
    assert list(in_batches(ledger(3, sent), {"dry_run": True}, "replayed")) == [Progress(3, 3, 0)]
    assert len(sent) == 1
