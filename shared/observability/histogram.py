"""Histograms as plain numbers.

A prometheus_client histogram takes two locks for each observation, for thread safety, and walks through its buckets.
Values that are observed several times per request are observed in one event loop and need no locks.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any

from mypy_extensions import mypyc_attr
from prometheus_client import REGISTRY
from prometheus_client.metrics_core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString


class Series:
    """The observations under the same labels."""

    __slots__ = ("_bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * len(bounds)
        self.exemplars: dict[int, Exemplar] = {}
        self.sum = 0.0

    def observe(self, amount: float, exemplar: Mapping[str, str] | None = None) -> None:
        place = bisect_left(self._bounds, amount)
        self.counts[place] += 1
        self.sum += amount
        if exemplar:
            self.exemplars[place] = Exemplar(dict(exemplar), amount)


@mypyc_attr(native_class=False)
class Histogram(Collector):
    """A histogram with labels. `buckets` are upper bounds."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str], buckets: Sequence[float]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self._bounds = (*buckets, inf)
        self._shown = [floatToGoString(bound) for bound in self._bounds]  # type: ignore[no-untyped-call]
        self._series: dict[tuple[str, ...], Series] = {}
        REGISTRY.register(self)

    def labels(self, *labels: object) -> Series:
        """Return the series with these labels; keep it for frequent observations."""
        key = tuple(map(str, labels))
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = Series(self._bounds)
        return series

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for labels, series in self._series.items():
            family.add_metric(labels, self._cumulative(series), series.sum)
        return [family]

    def _cumulative(self, series: Series) -> list[Any]:
        total, buckets = 0, []
        for place, bound in enumerate(self._shown):
            total += series.counts[place]
            exemplar = series.exemplars.get(place)
            buckets.append((bound, total, exemplar) if exemplar else (bound, total))
        return buckets

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
