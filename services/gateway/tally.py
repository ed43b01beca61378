"""Counts in plain integers what happens several times in every request.

A counter of prometheus_client takes a lock for each step, for the sake of threads; all of this happens in one.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from prometheus_client import REGISTRY
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector


class Group:
    """Labels that are always counted together: `times += 1`."""

    __slots__ = ("labels", "times")

    def __init__(self, labels: Sequence[tuple[str, ...]]) -> None:
        self.labels = labels
        self.times = 0


class Tally(Collector):
    """A counter with labels: `counts[labels] += 1`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self.counts: Counter[tuple[str, ...]] = Counter()
        self._groups: list[Group] = []
        REGISTRY.register(self)

    def group(self, *labels: tuple[str, ...]) -> Group:
        """What counts all of these at once, as cheaply as one; at most one for each set of labels."""
        for known in self._groups:
            if known.labels == labels:
                return known
        self._groups.append(Group(labels))
        return self._groups[-1]

    def totals(self) -> Counter[tuple[str, ...]]:
        """By labels, groups included."""
        totals = Counter(self.counts)
        for group in self._groups:
            for labels in group.labels:
                totals[labels] += group.times
        return totals

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for labels, count in self.totals().items():
            family.add_metric(labels, count)
        return [family]

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._documentation, labels=self._labels)
