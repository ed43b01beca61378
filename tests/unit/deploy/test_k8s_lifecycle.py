"""The life cycle of pods: they serve when ready, stop without failed requests, and are probed at the right address."""

from importlib import import_module
from pathlib import Path

import pytest
import yaml

from shared.db import engine
from shared.observability.probes import CHECK_TIMEOUT_S, probes
from shared.server.background import Background
from tools.lab.kubernetes.build import OVERLAYS, ROOT, Manifest, of_kind, overlay
from tools.lab.kubernetes.environment import environment
from tools.lab.kubernetes.schemas import problems

SERVICES = ("gateway", "users", "orders", "worker")
EACH = pytest.mark.parametrize(("name", "service"), [(name, service) for name in OVERLAYS for service in SERVICES])
PROBES = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
LISTENING_S = 5.0
"""Longer than any process accepts new connections after SIGTERM."""
CANCEL_S = import_module("services.worker.ledger.job").CANCEL_S


def deployment(name: str, service: str) -> Manifest:
    spec: Manifest = of_kind(overlay(name), "Deployment")[service]["spec"]
    return spec


def container(name: str, service: str) -> Manifest:
    [only] = deployment(name, service)["template"]["spec"]["containers"]
    return dict(only)


def ports(name: str, service: str) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(name, service)["ports"]}


@EACH
def test_probes_ask_where_the_process_answers(name: str, service: str) -> None:
    """Liveness and readiness have their own paths, on the port in the settings."""
    told = environment(name, container(name, service))
    paths = {getattr(route, "path", "") for route in probes.routes}
    for probe, path in PROBES.items():
        asked = container(name, service)[probe]["httpGet"]
        assert asked == {"path": path, "port": "internal"}
        assert path in paths
    port = f"{service.upper()}_{'INTERNAL_' if service == 'gateway' else ''}PORT"
    assert ports(name, service)["internal"] == int(told[port])


@EACH
def test_probes_wait_longer_than_the_checks(name: str, service: str) -> None:
    """Otherwise a hanging dependency would cause a timeout of the probe, which does not name it."""
    assert container(name, service)["readinessProbe"]["timeoutSeconds"] > CHECK_TIMEOUT_S


def test_the_public_port_has_no_metrics_in_any_manifest() -> None:
    """The gateway's Service has only the public port; the internal one is a port of the pods."""
    for name in OVERLAYS:
        [port] = of_kind(overlay(name), "Service")["gateway"]["spec"]["ports"]
        assert port["targetPort"] == "http"
        assert ports(name, "gateway")["http"] != ports(name, "gateway")["internal"]


@EACH
def test_a_pod_has_the_time_that_its_end_takes(name: str, service: str) -> None:
    """The grace period covers `preStop`, draining, requests, background work, and closing the database."""
    told = environment(name, container(name, service))
    grace = float(told["SHUTDOWN_GRACE_S"])
    pre_stop = container(name, service)["lifecycle"]["preStop"]["sleep"]["seconds"]
    closing = CANCEL_S + Background.CANCEL_AGAIN_S + engine.CLOSE_TIMEOUT_S
    longest = pre_stop + LISTENING_S + grace + grace + closing
    assert deployment(name, service)["template"]["spec"]["terminationGracePeriodSeconds"] >= longest


@EACH
def test_a_rollout_takes_nobody_away_first(name: str, service: str) -> None:
    """The new pod is ready before the old one stops; only development's worker has a volume for a single pod."""
    strategy = deployment(name, service)["strategy"]
    if (name, service) == ("dev", "worker"):
        assert strategy == {"type": "Recreate"}
    else:
        assert strategy["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}


@EACH
def test_replicas_are_spread(name: str, service: str) -> None:
    """Replicas are spread over zones and nodes, separately for each version."""
    spread = deployment(name, service)["template"]["spec"]["topologySpreadConstraints"]
    assert {one["topologyKey"] for one in spread} == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert all("pod-template-hash" in one["matchLabelKeys"] for one in spread)
    assert of_kind(overlay(name), "PodDisruptionBudget")[service]["spec"]["maxUnavailable"] == 1


def test_metrics_are_read_where_they_are() -> None:
    """The monitor scrapes every process on its internal port, and adds the process label that alerts need."""
    monitor = of_kind(overlay("prod"), "PodMonitor")["dashboard"]
    [endpoint] = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("internal", "/metrics")
    [chosen] = monitor["spec"]["selector"]["matchExpressions"]
    assert set(chosen["values"]) == set(SERVICES)
    assert endpoint["relabelings"] == [{"sourceLabels": ["__meta_kubernetes_pod_label_part"], "targetLabel": "process"}]
    assert endpoint["honorLabels"] is True


def test_the_alerts_can_be_a_resource_of_the_operator() -> None:
    """docs/kubernetes.md creates the resource from the file of rules."""
    for file in (ROOT / "deploy/prometheus").glob("alerts.y*ml"):
        rule = {"apiVersion": "monitoring.coreos.com/v1", "kind": "PrometheusRule", "metadata": {"name": "dashboard"}}
        assert problems(rule | {"spec": yaml.safe_load(file.read_text())}) == []


def test_the_documentation_names_what_is_there() -> None:
    """Commands in docs/kubernetes.md name existing folders."""
    text = (ROOT / "docs/kubernetes.md").read_text()
    for name in OVERLAYS:
        assert f"kubectl apply -k deploy/k8s/overlays/{name}" in text
        assert Path(ROOT / "deploy/k8s/overlays" / name / "kustomization.yaml").exists()


def test_the_image_is_built_before_it_is_used() -> None:
    """Wherever development's overlay is applied, the image that it names has been built and loaded before."""
    for page in ("README.md", "docs/kubernetes.md"):
        before, apply, _ = (ROOT / page).read_text().partition("kubectl apply -k deploy/k8s/overlays/dev")
        assert apply
        assert before.rindex("docker build -t dashboard:dev") < before.rindex("kind load docker-image dashboard:dev")
