"""Counts in plain integers what happens several times in every request.

A counter of prometheus_client takes a lock for each step, for the sake of threads; all of this happens in one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Tally(Collector):
    """A counter with labels: `counts[labels] += 1`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self.counts: Counter[tuple[str, ...]] = Counter()
        REGISTRY.register(self)

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for labels, count in self.counts.items():
            family.add_metric(labels, count)
        return [family]

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._documentation, labels=self._labels)
