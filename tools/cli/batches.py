"""A large replay or discard, sent in small batches to show its progress."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

BATCH = 1000


@dataclass(frozen=True)
class Progress:
    """`expected` is the number of jobs that will be changed, unless another operator changes them meanwhile."""

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
    """Send batches until all jobs that matched at the beginning, or `limit` of them, are changed.

    `counted` is the field of a response with the number of changed jobs. A job that dies again meanwhile is not changed
    twice: the command applies to jobs that have not changed since the beginning.
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
