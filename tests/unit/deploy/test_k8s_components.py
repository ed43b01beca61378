"""What differs between clusters: the image, the namespaces of operators, DNS, traces, and the network plugin."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.lab.kubernetes.build import K8S, ROOT, Manifest, build, containers, of_kind, overlay, templates
from tools.lab.kubernetes.network import HOME, allowed, peers
from tools.lab.kubernetes.schemas import problems

COMPONENTS = sorted(folder.name for folder in (K8S / "components").iterdir())
OPTIONAL = [name for name in COMPONENTS if name not in ("version", "parameters")]
PAGE = (ROOT / "docs/kubernetes.md").read_text()
DIGEST = f"sha256:{'5' * 64}"
JOB_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
"""A Job's name is a label of its pods."""


def on_top(folder: Path, *components: str | Path, base: str = "prod", **fields: Any) -> tuple[Manifest, ...]:
    """Return the resources of an overlay on top of ours. A component is the name of one of ours, or a folder."""

    def path(target: Path) -> str:
        return os.path.relpath(target, folder.resolve())

    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [path(K8S / "overlays" / base)],
        "components": [path(K8S / "components" / name) for name in components],
        **fields,
    }
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(kustomization))
    return build(folder)


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_component_adds_valid_resources(name: str, tmp_path: Path) -> None:
    """An overlay on top of production may include any optional component, and the API would accept the result."""
    made = on_top(tmp_path, name)
    assert {one["metadata"]["name"]: found for one in made if (found := problems(one))} == {}
    assert made != overlay("prod")


@pytest.mark.parametrize("base", [pytest.param("dev", marks=pytest.mark.full), "prod"])
@pytest.mark.parametrize(
    "image",
    [
        {"newName": "registry.example.com:5000/team/dashboard", "newTag": "1.2.3"},
        {"newName": "registry.example.com:5000/team/dashboard", "digest": DIGEST},
        {"newName": "ghcr.io/team/dashboard", "newTag": "1.2.3", "digest": DIGEST},
    ],
)
def test_an_image_is_named_by_tag_or_digest(base: str, image: dict[str, str], tmp_path: Path) -> None:
    """A registry may have a port, and a digest may replace the tag: migration Jobs are named after the version."""
    name = {"dev": "dashboard", "prod": "registry.example.com/dashboard"}[base]
    made = on_top(tmp_path, base=base, images=[{"name": name, **image}])
    images = {container["image"] for _, template in templates(made) for container in containers(template)}
    [ours] = {one for one in images if one.startswith(image["newName"])}
    assert ours.endswith(image.get("digest", image.get("newTag", "")))
    assert not any(re.search("/?dashboard:(dev|0)", one) for one in images)
    jobs = [one for one in of_kind(made, "Job") if one.startswith("migrate-")]
    assert len(jobs) == 3
    assert all(JOB_NAME.fullmatch(one) for one in jobs)


@pytest.mark.parametrize("name", COMPONENTS)
def test_a_component_is_documented(name: str) -> None:
    """docs/kubernetes.md says what each component is for."""
    assert re.search(rf"^\| .*`{name}`.* \|", PAGE, re.MULTILINE)


def test_kind_runs_production_made_small() -> None:
    """The overlay has the servers and policies of production, and needs only operators that the script installs."""
    made = build(K8S / "overlays/kind")
    assert [found for one in made for found in problems(one)] == []
    groups = {one["apiVersion"].partition("/")[0] for one in made}
    assert not {"keda.sh", "monitoring.coreos.com", "barmancloud.cnpg.io"} & groups
    assert of_kind(made, "Cluster")["postgres"]["spec"]["instances"] == 3
    assert of_kind(made, "RabbitmqCluster")["rabbitmq"]["spec"]["replicas"] == 3
    assert "plugins" not in of_kind(made, "Cluster")["postgres"]["spec"]
    extra = {("worker", "mail", 1025)}
    without = {edge for edge in allowed(overlay("prod")) if edge[0] not in ("keda", "monitoring")}
    assert {edge for edge in allowed(made) if edge[0] not in ("keda", "monitoring")} == (
        without | extra | {("mail", "kube-dns", 53)}
    )


PARAMETERS = {
    "version": "1.2.3",
    "ingress-namespace": "kube-ingress",
    "prometheus-namespace": "metrics",
    "keda-namespace": "autoscaling",
    "postgres-operator-namespace": "operators-postgres",
    "rabbitmq-operator-namespace": "operators-rabbitmq",
    "redis-operator-namespace": "operators-redis",
    "prometheus-release": "monitoring-stack",
}


def test_one_file_names_the_namespaces(tmp_path: Path) -> None:
    """An overlay with parameters of its own replaces every namespace of an operator, the version of the Jobs, and the
    label that Prometheus selects monitors by."""
    config = yaml.safe_load((K8S / "overlays/prod/parameters.yaml").read_text())
    assert config["data"].keys() == PARAMETERS.keys()
    patch = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "parameters"}, "data": PARAMETERS}
    component = {"apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component"}
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/kustomization.yaml").write_text(
        yaml.safe_dump(component | {"patches": [{"patch": yaml.safe_dump(patch)}]})
    )
    made = on_top(tmp_path, tmp_path / "mine", "version", "parameters")
    before = {peer.namespace for peer in peers(overlay("prod"))}
    after = {peer.namespace for peer in peers(made)}
    used = {value for key, value in PARAMETERS.items() if key.endswith("-namespace")}
    kept = {HOME, "kube-system", "elsewhere", ""}
    assert before - kept == {value for key, value in config["data"].items() if key.endswith("-namespace")}
    assert after - kept == used
    assert {one["metadata"]["labels"]["release"] for one in of_kind(made, "PodMonitor").values()} == {
        "monitoring-stack"
    }
    assert "migrate-users-1.2.3" in of_kind(made, "Job")
    assert "parameters" not in of_kind(made, "ConfigMap")


def test_a_gitops_tool_does_not_create_jobs_again(tmp_path: Path) -> None:
    """With the component, a migration Job that is done stays until its version goes."""
    jobs = of_kind(on_top(tmp_path, "gitops"), "Job").values()
    assert len(jobs) == 3
    assert all("ttlSecondsAfterFinished" not in job["spec"] for job in jobs)
    assert all("ttlSecondsAfterFinished" in job["spec"] for job in of_kind(overlay("prod"), "Job").values())


def test_traces_reach_the_collector(tmp_path: Path) -> None:
    """The component allows the connection to the namespace and the port of the endpoint that it sets."""
    made = on_top(tmp_path, "otlp")
    processes = {"gateway", "users", "orders", "worker"}
    assert allowed(made) - allowed(overlay("prod")) == {(who, "observability", 4318) for who in processes}
    [endpoint] = {
        one["data"]["OTEL_EXPORTER_OTLP_ENDPOINT"]
        for name, one in of_kind(made, "ConfigMap").items()
        if name.startswith("common-")
    }
    assert endpoint == "http://collector.observability.svc:4318"


def test_openshift_answers_names_elsewhere(tmp_path: Path) -> None:
    """Every pod may ask the DNS servers of OpenShift, at their own port."""
    made = on_top(tmp_path, "dns-openshift")
    ours = {peer.name for peer in peers(made) if peer.namespace == HOME}
    assert allowed(made) - allowed(overlay("prod")) == {(who, "openshift-dns", 5353) for who in ours}


def test_a_cache_on_the_node_answers_names(tmp_path: Path) -> None:
    """NodeLocal DNSCache has an address of the node, which only a policy for addresses matches."""
    policy = of_kind(on_top(tmp_path, "dns-node-local"), "NetworkPolicy")["names-node-local"]["spec"]
    [rule] = policy["egress"]
    assert policy["podSelector"] == {}
    assert {"ipBlock": {"cidr": "169.254.20.10/32"}} in rule["to"]
    assert {(port["protocol"], port["port"]) for port in rule["ports"]} == {("UDP", 53), ("TCP", 53)}


def test_cilium_lets_the_servers_reach_the_api_server(tmp_path: Path) -> None:
    """Cilium knows the API server as an entity; a policy for addresses does not match it. The component covers the pods
    and the ports for which overlays/prod has such a policy."""
    policy = of_kind(on_top(tmp_path, "cilium"), "CiliumNetworkPolicy")["api-server"]["spec"]
    [rule] = policy["egress"]
    [chosen] = policy["endpointSelector"]["matchExpressions"]
    [ports] = rule["toPorts"]
    found = {(who, int(port["port"])) for who in chosen["values"] for port in ports["ports"]}
    assert rule["toEntities"] == ["kube-apiserver"]
    assert found == {(who, port) for who, to, port in allowed(overlay("prod")) if to == "private" and who != "worker"}


def test_redis_is_bounded_and_evicts() -> None:
    """The file that the image reads at its start bounds the memory below the container's limit, and evicts."""
    redis = of_kind(overlay("prod"), "RedisReplication")["redis"]["spec"]
    config = of_kind(overlay("prod"), "ConfigMap")[redis["redisConfig"]["additionalRedisConfig"]]["data"]
    assert redis["redisConfig"].keys() == {"additionalRedisConfig"}  # the others are not applied by every version
    told = dict(
        line.split(maxsplit=1) for line in config["redis-additional.conf"].splitlines() if not line.startswith("#")
    )
    assert told["maxmemory-policy"] == "allkeys-lru"
    assert redis["kubernetesConfig"]["resources"]["limits"]["memory"] == "1Gi"
    assert int(told["maxmemory"].removesuffix("mb")) <= 0.75 * 1024


def test_the_users_service_can_scale_its_pictures() -> None:
    """The memory limit covers the processes that scale pictures, and the service itself."""
    from services.users.avatars.settings import AvatarSettings
    from services.users.avatars.thumbnails import MAX_MEMORY_BYTES

    at_once = AvatarSettings.model_fields["picture_processes"].default
    needed = at_once * MAX_MEMORY_BYTES + 256 * 2**20
    compose = (K8S.parent / "compose/production.yml").read_text()
    [container] = of_kind(overlay("prod"), "Deployment")["users"]["spec"]["template"]["spec"]["containers"]
    assert container["resources"]["limits"]["memory"] == "2Gi"
    assert re.search(r"x-pictures: &pictures \{mem_limit: 2g,", compose)
    assert "users: &users\n    <<: *pictures" in compose
    assert needed <= 2 * 2**30


def test_postgres_takes_a_changed_password_at_once() -> None:
    """CloudNativePG watches secrets with this label."""
    from tools.lab.kubernetes.environment import made_secrets

    labels = {one["metadata"]["name"]: one["metadata"].get("labels") for one in made_secrets()}
    for name in ("users", "orders", "worker"):
        assert labels[f"{name}-database"] == {"cnpg.io/reload": "true"}
