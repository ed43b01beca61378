"""Values of this process's metrics. Only the named metrics are collected: tests wait for values in loops, and a process
that has run hundreds of tests has thousands of samples."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import REGISTRY

from shared.observability.histogram import Histogram


def sample(name: str, labels: Mapping[str, str] | None = None) -> float | None:
    """Return the value of one sample, or None if there is none."""
    for family in REGISTRY.restricted_registry([name]).collect():
        for each in family.samples:
            if each.name == name and each.labels == (labels or {}):
                return each.value
    return None


def counts(names: Iterable[str]) -> Counter[Any]:
    """Return these samples by name and labels, without those that are zero. `names` has counters, and `…_count` of
    histograms."""
    found: Any = Counter()
    for name in names:
        collector = REGISTRY._names_to_collectors.get(name)
        if isinstance(collector, Histogram) and name.endswith("_count"):
            for values, series in collector._series.items():
                found[(name, *sorted(zip(collector._labels, values, strict=True)))] = sum(series.counts)
        else:
            for family in REGISTRY.restricted_registry([name]).collect():
                for each in family.samples:
                    found[(name, *sorted(each.labels.items()))] = each.value
    return +found  # type: ignore[no-any-return]
