"""The running processes expose every metric that the dashboards and alerts use."""

from collections.abc import Mapping
from pathlib import Path

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from tests.support.stack.running import PATIENCE_S, SERVICES, Person, Stack
from tests.support.waiting import wait_until
from tools.lab.observe.expressions import RECORDED, every_expression, selectors

pytestmark = pytest.mark.e2e

FROM_PROMETHEUS = {"up", "ALERTS"} | RECORDED
GIVEN_BY_WHO_SCRAPES = {"process", "instance", "alertname", "alertstate"}
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "summary": ("_count", "_sum")}
RABBITMQ = Path(__file__).parents[3] / "tools/lab/observe/rabbitmq_metrics.txt"
"""The metrics of RabbitMQ's plugin, as in 3.10 and 4: it is not part of the one-machine stack."""


def told(stack: Stack, name: str) -> list[Metric]:
    entry = stack.info[name]
    url = entry.get("internal_url", entry["url"])
    return list(text_string_to_metric_families(httpx.get(f"{url}/metrics", timeout=PATIENCE_S).raise_for_status().text))


def samples(stack: Stack, metric: str) -> list[float]:
    """Return the samples of a worker's metric."""
    return [sample.value for family in told(stack, "worker") if family.name == metric for sample in family.samples]


@pytest.fixture(scope="module")
def families(stack: Stack) -> Mapping[str, Metric]:
    """Return the metric families of all four processes by the names used in expressions, after some work."""
    person = Person(stack)
    person.order()
    person.dashboard(no_cache=True)
    wait_until(lambda: person.panel("notifications"), PATIENCE_S)
    person.http.close()
    wait_until(lambda: samples(stack, "worker_queue_messages"), PATIENCE_S)
    wait_until(lambda: stack.mails(person.email), PATIENCE_S)
    wait_until(lambda: not any(samples(stack, "worker_jobs_retrying")), PATIENCE_S)  # leave nothing for other tests
    found: dict[str, Metric] = {}
    for family in (family for name in SERVICES for family in told(stack, name)):
        for suffix in SUFFIXES.get(family.type, ("",)):
            known = found.setdefault(family.name + suffix, family)
            if known is not family:
                known.samples += family.samples
    return found


def test_every_metric_that_is_named_is_told(families: Mapping[str, Metric]) -> None:
    """Each metric is exposed by one of the four processes, by Prometheus itself, or by RabbitMQ."""
    known = families.keys() | FROM_PROMETHEUS | set(RABBITMQ.read_text().split())
    unknown = {
        (place, selector.metric)
        for place, expression in every_expression()
        for selector in selectors(expression)
        if selector.metric not in known
    }
    assert unknown == set()


def test_every_label_that_is_asked_for_is_there(families: Mapping[str, Metric]) -> None:
    """Each label exists if anything was counted that could have it."""
    unknown = set()
    for place, expression in every_expression():
        for selector in selectors(expression):
            family = families.get(selector.metric)
            if family is None or not family.samples:
                continue
            labels = {label for sample in family.samples for label in sample.labels}
            missing = selector.labels - labels - GIVEN_BY_WHO_SCRAPES
            unknown |= {(place, selector.metric, label) for label in missing}
    assert unknown == set()


def test_no_metric_has_a_label_of_who_scrapes(families: Mapping[str, Metric]) -> None:
    """No metric has the labels `process` and `instance`: Prometheus adds them, and one of the two would be lost."""
    labels = {label for family in families.values() for sample in family.samples for label in sample.labels}
    assert labels.isdisjoint({"process", "instance"})


def test_metrics_are_not_public(stack: Stack) -> None:
    """Metrics are available only on the internal port of each process."""
    assert httpx.get(f"{stack.url}/metrics", timeout=PATIENCE_S).status_code == 404


def test_a_prometheus_on_this_machine_finds_the_processes(stack: Stack) -> None:
    """The one-machine stack writes the metrics endpoints of each process in the format of `file_sd_configs`."""
    groups = httpx.Response(200, content=(stack.folder / "prometheus-targets.json").read_bytes()).json()
    assert {group["labels"]["process"] for group in groups} == set(SERVICES)
    for group in groups:
        [target] = group["targets"]
        assert (
            "process_start_time_seconds"
            in httpx.get(f"http://{target}/metrics", timeout=PATIENCE_S).raise_for_status().text
        )
