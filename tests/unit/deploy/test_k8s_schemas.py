"""The API would accept every manifest."""

import copy
from typing import Any

import pytest

from tools.lab.kubernetes.__main__ import report
from tools.lab.kubernetes.build import OVERLAYS, ROOT, base, of_kind, overlay
from tools.lab.kubernetes.schemas import problems


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_api_would_take_it(name: str) -> None:
    """Each manifest of each overlay conforms to the schema of its kind, including operators' kinds."""
    assert {
        f"{one['kind']} {one['metadata']['name']}": found for one in overlay(name) if (found := problems(one))
    } == {}


def test_the_base_alone_is_whole() -> None:
    """The base can be built and conforms to the schemas without an overlay."""
    assert [found for one in base() for found in problems(one)] == []


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("Deployment", ("spec", "template", "spec", "containers", 0, "readinesProbe"), {}),
        ("HorizontalPodAutoscaler", ("spec", "maxReplicas"), "ten"),
        ("Cluster", ("spec", "postgresql", "pghba"), []),
        ("RabbitmqCluster", ("spec", "replicas"), "three"),
        ("ScaledObject", ("spec", "triggers", 0, "metadata", "excludeUnacknowledged"), False),
        ("RedisReplication", ("spec", "podSecurityContext", "runAsNonroot"), True),
        ("PodMonitor", ("spec", "podMetricsEndpoints", 0, "targetport"), 1),
    ],
)
def test_a_mistake_is_found(kind: str, path: tuple[str | int, ...], value: object) -> None:
    """A misspelt field, or one of a wrong type, is a problem with its position."""
    wrong: Any = copy.deepcopy(next(one for one in overlay("prod") if one["kind"] == kind))
    inner = wrong
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    [problem] = problems(wrong)
    assert str(path[-1]) in problem


def test_a_kind_that_nobody_described_is_a_problem() -> None:
    """A kind without a schema is never considered valid."""
    assert problems({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "one"}}) != []


def test_each_name_is_there_once() -> None:
    """No two manifests of one kind have the same name."""
    for name in OVERLAYS:
        for kind in {one["kind"] for one in overlay(name)}:
            assert of_kind(overlay(name), kind)


def test_the_page_shows_what_was_validated() -> None:
    """The page has the current output of `make manifests`."""
    text = (ROOT / "docs/kubernetes.md").read_text()
    shown = text.partition("<!-- validated: begin -->\n```\n")[2].partition("```\n<!-- validated: end -->")[0]
    assert shown.splitlines() == [line for name in OVERLAYS for line in report(name)]
