"""Histograms in plain numbers, beside those of prometheus_client."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from typing import Any
from uuid import uuid4

import prometheus_client
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.samples import Sample

from shared.observability.histogram import Histogram

BOUNDS = (0.001, 0.5, 1, 10.0)
AMOUNTS = st.sampled_from([0.0, *BOUNDS, inf]) | st.floats(0, 20) | st.floats(-1, 1e300)
EXEMPLARS: st.SearchStrategy[dict[str, str] | None] = (
    st.none() | st.just({}) | st.fixed_dictionaries({"trace_id": st.text("0123456789abcdef", max_size=32)})
)
OBSERVED = st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(1, 3), AMOUNTS, EXEMPLARS), max_size=30)


@contextmanager
def both() -> Iterator[tuple[Histogram, CollectorRegistry, prometheus_client.Histogram, CollectorRegistry]]:
    """The same histogram twice, each alone in a registry."""
    name = f"example_{uuid4().hex}_seconds"
    ours = Histogram(name, "Of this test.", ["panel", "status"], BOUNDS)
    own, others = CollectorRegistry(), CollectorRegistry()
    own.register(ours)
    theirs = prometheus_client.Histogram(name, "Of this test.", ["panel", "status"], buckets=BOUNDS, registry=others)
    try:
        yield ours, own, theirs, others
    finally:
        REGISTRY.unregister(ours)


def samples(registry: CollectorRegistry) -> list[Sample]:
    return [sample for family in registry.collect() for sample in family.samples]


def without_times(registry: CollectorRegistry) -> list[Any]:
    """Samples and exemplars, which theirs stamp with the time."""
    return [
        (each.name, each.labels, each.value, each.exemplar and (each.exemplar.labels, each.exemplar.value))
        for each in samples(registry)
        if not each.name.endswith("_created")
    ]


@given(OBSERVED)
def test_it_exposes_what_prometheus_client_does(observed: list[tuple[str, int, float, dict[str, str] | None]]) -> None:
    """The same text, buckets, sums, counts and exemplars, whatever is observed."""
    with both() as (ours, own, theirs, others):
        for panel, status, amount, exemplar in observed:
            ours.labels(panel, status).observe(amount, exemplar)
            theirs.labels(panel, status).observe(amount, exemplar)
        assert without_times(own) == without_times(others)
        assert generate_latest(own) == generate_latest(others)


def test_an_exemplar_stays_until_its_bucket_has_another() -> None:
    """And comes out where OpenMetrics has it."""
    with both() as (ours, own, _, _):
        series = ours.labels("a", 200)
        series.observe(0.4, {"trace_id": "1"})
        series.observe(0.3, {"trace_id": "2"})
        series.observe(0.2)
        series.observe(0.7, {"trace_id": "3"})
        text = generate_openmetrics(own).decode()  # type: ignore[no-untyped-call]
        assert 'le="0.5",panel="a",status="200"} 3.0 # {trace_id="2"} 0.3\n' in text
        assert 'le="1.0",panel="a",status="200"} 4.0 # {trace_id="3"} 0.7\n' in text
        assert 'trace_id="1"' not in text


def test_labels_name_one_series() -> None:
    """By their text, as prometheus_client has it; one that is kept is the one that is exposed."""
    with both() as (ours, own, _, _):
        assert ours.labels("a", 200) is ours.labels("a", "200")
        assert ours.labels("a", 201) is not ours.labels("a", 200)
        ours.labels("a", 200).observe(1)
        count = next(sample for sample in samples(own) if sample.name.endswith("_count"))
        assert (count.labels, count.value) == ({"panel": "a", "status": "200"}, 1)


def test_a_histogram_without_observations_has_a_name_and_no_samples() -> None:
    """It is described as it is collected."""
    with both() as (ours, own, _, others):
        assert generate_latest(own) == generate_latest(others)
        assert [family.name for family in ours.describe()] == [family.name for family in own.collect()]
