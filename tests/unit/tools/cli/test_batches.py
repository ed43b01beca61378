"""A large order in small ones."""

from collections.abc import Callable
from typing import Any

import pytest

from tools.cli.batches import BATCH, Progress, in_batches


def ledger(dead: int, sent: list[dict[str, Any]]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Answers as the worker does, while there are dead jobs."""
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
    """Every batch is for what has not changed since the first look, and no more than the limit is asked for."""
    sent: list[dict[str, Any]] = []
    *_, last = in_batches(ledger(dead, sent), {"job": "email"}, "replayed", limit)
    assert last == Progress(dead, sum(sizes), sum(sizes))
    assert sent == [
        {"job": "email", "dry_run": True},
        *({"job": "email", "as_of": "then", "limit": size} for size in sizes),
    ]


def test_a_rate_goes_on_across_batches() -> None:
    """A later batch begins where the earlier ones end, less the time that has passed."""
    sent: list[dict[str, Any]] = []
    times = iter([0.0, 0.0, 10.0])
    list(in_batches(ledger(2 * BATCH, sent), {"rate_per_s": 10.0}, "replayed", clock=lambda: next(times)))
    assert [order["delay_s"] for order in sent[1:]] == [0, BATCH / 10 - 10]


def test_somebody_else_was_faster() -> None:
    """When nothing is left to change, it ends."""
    answers = iter([{"matched": 3, "replayed": 0, "as_of": "then"}] * 2)
    assert list(in_batches(lambda _: next(answers), {}, "replayed")) == [Progress(3, 3, 0)]


def test_a_dry_run_only_counts() -> None:
    """Nothing but the first look is sent."""
    sent: list[dict[str, Any]] = []
    assert list(in_batches(ledger(3, sent), {"dry_run": True}, "replayed")) == [Progress(3, 3, 0)]
    assert len(sent) == 1
