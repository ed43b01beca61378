"""Recent latencies, from existing histograms: the difference between now and a minute ago."""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from shared.observability.histogram import Histogram
from shared.observability.quantiles import quantile

Buckets = Mapping[float, float]
"""Cumulative counts by upper bound, in seconds."""
FEWEST = 20
"""With fewer calls a 95th percentile is one of the slowest calls, and not meaningful."""


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of `calls` in the window, in milliseconds, as exact as the histogram's buckets; None for fewer
    than `FEWEST`."""

    calls: int
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class Latencies:
    """The latencies of one histogram, by one of its labels."""

    EVERY_S = 5.0
    WINDOW = 12

    def __init__(self, histogram: Histogram, label: str) -> None:
        self._histogram = histogram
        self._label = label
        self._past: deque[Mapping[str, Buckets]] = deque([self._now()], maxlen=self.WINDOW)

    async def run(self) -> None:
        """Runs until cancelled."""
        while True:
            await asyncio.sleep(self.EVERY_S)
            self._past.append(self._now())

    def lately(self) -> Mapping[str, Percentiles]:
        before = self._past[0]
        return {key: percentiles(buckets, before.get(key, {})) for key, buckets in self._now().items()}

    def _now(self) -> Mapping[str, Buckets]:
        found: dict[str, dict[float, float]] = {}
        for sample in (sample for family in self._histogram.collect() for sample in family.samples):
            if sample.name.endswith("_bucket"):
                buckets = found.setdefault(sample.labels[self._label], {})
                bound = float(sample.labels["le"])
                buckets[bound] = buckets.get(bound, 0) + sample.value
        return found


def percentiles(now: Buckets, before: Buckets) -> Percentiles:
    """Return the percentiles of the calls between the two samples."""
    bounds = sorted(now)
    counts = [now[bound] - before.get(bound, 0) for bound in bounds]
    calls = int(counts[-1]) if counts else 0
    if calls < FEWEST:
        return Percentiles(calls)
    return Percentiles(calls, *(round(quantile(bounds, counts, share) * 1000, 2) for share in (0.5, 0.95, 0.99)))
