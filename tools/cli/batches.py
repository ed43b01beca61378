"""A large order of replaying or discarding, sent in small ones, so that its progress can be seen."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

BATCH = 1000


@dataclass(frozen=True)
class Progress:
    """`expected` is how many will be changed, unless somebody else changes them meanwhile."""

    matched: int
    expected: int
    done: int


def in_batches(
    send: Callable[[dict[str, Any]], Mapping[str, Any]],
    order: Mapping[str, Any],
    counted: str,
    limit: int | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Progress]:
    """Send the order until all that matched in the beginning, or `limit` of them, are changed.

    `counted` is the field of an answer that says how many it changed. What dies again meanwhile is not taken twice:
    the order is for what has not changed since the beginning.
    """
    found = send({**order, "dry_run": True})
    expected = found["matched"] if limit is None else min(limit, found["matched"])
    progress = Progress(found["matched"], expected, 0)
    yield progress
    began = clock()
    while progress.done < expected and not order.get("dry_run"):
        batch = {**order, "as_of": found["as_of"], "limit": min(BATCH, expected - progress.done)}
        if rate := order.get("rate_per_s"):
            batch["delay_s"] = max(0.0, progress.done / rate - (clock() - began))
        changed = send(batch)[counted]
        if not changed:
            break
        progress = Progress(found["matched"], expected, progress.done + changed)
        yield progress
