"""Every pod conforms to Pod Security "restricted", and everything that a manifest names exists."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.lab.kubernetes.build import OVERLAYS, ROOT, WORKLOADS, Manifest, containers, of_kind, overlay, templates
from tools.lab.kubernetes.environment import configs, secrets
from tools.lab.kubernetes.network import selects

EACH = pytest.mark.parametrize("name", OVERLAYS)
OUR_UID = 10001
WRITES_ITS_ROOT = {"rabbitmq", "setup-container"}


def pods(name: str) -> Iterator[tuple[str, Manifest]]:
    """Return our templates, and the parts of templates in resources of operators."""
    yield from templates(overlay(name))
    for one in overlay(name):
        if one["kind"] == "RabbitmqCluster":
            yield "RabbitmqCluster", one["spec"]["override"]["statefulSet"]["spec"]["template"]
        elif one["kind"] in ("RedisReplication", "RedisSentinel"):
            inner = {"name": "redis", "securityContext": one["spec"]["securityContext"]}
            yield one["kind"], {"spec": {"securityContext": one["spec"]["podSecurityContext"], "containers": [inner]}}


@EACH
def test_every_pod_is_restricted(name: str) -> None:
    """Pods have no root, no privilege escalation, no capabilities, the runtime's seccomp profile, and no access to the
    node."""
    for who, template in pods(name):
        spec = template["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, who
        assert spec["securityContext"]["runAsUser"] > 0, who
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, who
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), who
        assert all("hostPath" not in volume for volume in spec.get("volumes", [])), who
        for container in containers(template):
            context = container["securityContext"]
            assert context["allowPrivilegeEscalation"] is False, who
            assert context["capabilities"] == {"drop": ["ALL"]}, who
            assert not {"privileged", "runAsUser", "runAsNonRoot", "seccompProfile"} & context.keys(), who
            assert not any("hostPort" in port for port in container.get("ports", [])), who


@EACH
def test_the_namespace_refuses_other_pods(name: str) -> None:
    """The namespace has the labels of pod admission."""
    [namespace] = of_kind(overlay(name), "Namespace").values()
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"].get("namespace") for one in overlay(name)} <= {namespace["metadata"]["name"], None}


@EACH
def test_our_pods_write_nothing_but_what_is_mounted(name: str) -> None:
    """Pods run as the image's user, on a read-only root, with a /tmp of limited size."""
    [user] = re.findall(r"^USER (\d+):\d+$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE)
    assert int(user) == OUR_UID
    for who, template in templates(overlay(name)):
        for container in containers(template):
            read_only = container["securityContext"].get("readOnlyRootFilesystem", False)
            assert read_only is (container["name"] not in WRITES_ITS_ROOT), who
            if is_ours(container["image"]):
                assert template["spec"]["securityContext"]["runAsUser"] == OUR_UID, who
        for volume in template["spec"].get("volumes", []):
            assert "emptyDir" not in volume or volume["emptyDir"]["sizeLimit"], who


@EACH
def test_no_pod_has_what_it_does_not_need(name: str) -> None:
    """Pods have no token for the API server and no variables of other Services: USERS_PORT=tcp://… would be read as a
    setting."""
    for who, template in templates(overlay(name)):
        assert template["spec"]["automountServiceAccountToken"] is False, who
        assert template["spec"]["enableServiceLinks"] is False, who


@EACH
def test_every_container_says_what_it_takes(name: str) -> None:
    """Every container has requests of CPU and memory, and a memory limit."""
    for who, template in templates(overlay(name)):
        for container in containers(template):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, who
            assert "memory" in container["resources"]["limits"], who


def is_ours(image: str) -> bool:
    return image.rpartition(":")[0].rpartition("/")[2] == "dashboard"


@EACH
def test_all_of_ours_is_one_version(name: str) -> None:
    """One image with one tag is used everywhere, the migrations are named after it, and no tag is `latest`."""
    images = {container["image"] for _, template in templates(overlay(name)) for container in containers(template)}
    [ours] = {image for image in images if is_ours(image)}
    assert all(re.search(r":v?[\w.-]+$", image) and not image.endswith(":latest") for image in images)
    version = ours.rpartition(":")[2]
    assert {job for job in of_kind(overlay(name), "Job") if job.startswith("migrate")} == {
        f"migrate-{service}-{version}" for service in ("users", "orders", "worker")
    }
    if name == "prod":
        assert f'version = "{version}"' in (ROOT / "pyproject.toml").read_text()


@EACH
def test_selectors_select(name: str) -> None:
    """A workload selects its own pods. A Service and a disruption budget select those of exactly one workload, by
    existing ports."""
    made = dict(templates(overlay(name)))
    labels = {who: template["metadata"]["labels"] for who, template in made.items()}
    for kind in ("Deployment", "StatefulSet"):
        for workload, one in of_kind(overlay(name), kind).items():
            assert [who for who in made if selects(one["spec"]["selector"], labels[who])] == [f"{kind} {workload}"]
    for service in of_kind(overlay(name), "Service").values():
        [who] = [who for who in made if selects({"matchLabels": service["spec"]["selector"]}, labels[who])]
        ports = [port for container in made[who]["spec"]["containers"] for port in container["ports"]]
        for port in service["spec"]["ports"]:
            target = port.get("targetPort", port["port"])
            assert target in {value for one in ports for value in (one["name"], one["containerPort"])}, who
    for budget, one in of_kind(overlay(name), "PodDisruptionBudget").items():
        chosen = [who for who in made if selects(one["spec"]["selector"], labels[who])]
        assert chosen == [f"Deployment {budget}"] or budget in of_kind(overlay(name), "RabbitmqCluster")


@EACH
def test_what_is_named_is_there(name: str) -> None:
    """Service accounts, ConfigMaps, secrets with their keys, and volume claims exist."""
    accounts = {"default", *of_kind(overlay(name), "ServiceAccount")}
    for who, template in templates(overlay(name)):
        assert template["spec"].get("serviceAccountName", "default") in accounts, who
        for reference, wanted in references(template):
            match reference:
                case "configMapRef" | "configMap":
                    assert wanted["name"] in configs(name), who
                case "secretKeyRef":
                    assert wanted["key"] in secrets(name)[wanted["name"]], who
                case "secret":
                    assert wanted["secretName"] in secrets(name), who
                case "persistentVolumeClaim":
                    assert wanted["claimName"] in of_kind(overlay(name), "PersistentVolumeClaim"), who


def references(part: Any) -> Iterator[tuple[str, Any]]:
    """Yield every pair of a key and a mapping, at any depth."""
    pairs = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in pairs:
        if isinstance(value, dict):
            yield str(key), value
        yield from references(value)


def test_every_secret_of_the_operators_is_made() -> None:
    """The script creates the passwords of Postgres, RabbitMQ, Redis, the backups and KEDA."""
    kinds = {one["kind"] for one in overlay("prod")} - {*WORKLOADS, "Ingress", "Service"}
    named = {
        "passwordSecret",
        "importCredentialsSecret",
        "redisSecret",
        "secretKeyRef",
        "accessKeyId",
        "secretAccessKey",
    }
    wanted = [
        value
        for one in overlay("prod")
        if one["kind"] in kinds
        for key, value in references(one)
        if key in named or (key == "secret" and "name" in value)
    ]
    assert {one["name"] for one in wanted} >= {"users-database", "orders-database", "rabbitmq-keda", "redis", "storage"}
    assert all(one.get("key") is None or one["key"] in secrets("prod")[one["name"]] for one in wanted)
    assert all({"username", "password"} <= secrets("prod")[one["name"]].keys() for one in wanted if "key" not in one)


def test_no_secret_is_in_the_repository() -> None:
    """The production overlay names secrets without containing any; those of development are placeholders, which
    production refuses."""
    assert not of_kind(overlay("prod"), "Secret")
    texts = [text for data in secrets("dev").values() for key, text in data.items() if key != "username"]
    assert all(text.startswith("development-only") for text in texts)
    assert not list(Path(ROOT / "deploy/k8s/overlays/prod").glob("*.env"))
