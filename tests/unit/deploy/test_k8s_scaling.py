"""The autoscalers use the right metrics, and there are resources for all their pods."""

import json
import re
from importlib import import_module

import pytest

from shared.contracts.topology import QUEUES
from tests.support.worker.jobs import policy_of
from tools.lab.kubernetes.build import OVERLAYS, ROOT, of_kind, overlay
from tools.lab.kubernetes.environment import environment, secrets

[SCALED] = of_kind(overlay("prod"), "ScaledObject").values()
[SCALING] = SCALED["spec"]["triggers"]
TRIGGER: dict[str, str] = SCALING["metadata"]
PAGE = (ROOT / "docs/kubernetes.md").read_text()
BESIDE_THE_POOLS = 7
"""Connections of a process besides its two pools: that of the relay, and four and two for downloads and exports."""


def test_one_trigger_covers_every_queue() -> None:
    """The pattern matches the queue of each job, also of one that is yet to be written, and no other queue."""
    assert (TRIGGER["useRegex"], TRIGGER["operation"]) == ("true", "sum")
    queues = [*(queue.name for queue in QUEUES.values()), "worker.receipts"]
    assert all(re.search(TRIGGER["queueName"], name) for name in queues)
    assert not re.search(TRIGGER["queueName"], "amq.gen-1worker.x")
    assert int(TRIGGER["pageSize"]) > len(QUEUES) + 1


def test_messages_in_hand_are_counted() -> None:
    """Only the management API reports unacknowledged messages. A worker that has all its messages prefetched must not
    look idle."""
    assert (TRIGGER["protocol"], TRIGGER["mode"], TRIGGER["excludeUnacknowledged"]) == ("http", "QueueLength", "false")
    assert TRIGGER["host"] == "http://rabbitmq.dashboard.svc:15672/"


def test_a_worker_is_added_before_it_would_be_idle() -> None:
    """The target per worker is at least the number of messages that one worker takes from any one queue."""
    assert all(float(TRIGGER["value"]) >= policy_of(job).prefetch for job in QUEUES)


def test_keda_asks_with_an_account_of_its_own() -> None:
    """The account may only read; its password comes from a secret."""
    [authentication] = of_kind(overlay("prod"), "TriggerAuthentication").values()
    assert SCALING["authenticationRef"]["name"] == authentication["metadata"]["name"]
    for one in authentication["spec"]["secretTargetRef"]:
        assert one["key"] in secrets("prod")[one["name"]]
    user = of_kind(overlay("prod"), "User")["keda"]["spec"]
    assert (user["tags"], user["importCredentialsSecret"]["name"]) == (["monitoring"], one["name"])
    permissions = of_kind(overlay("prod"), "Permission")["keda"]["spec"]["permissions"]
    assert set(permissions.values()) == {"^$"}


@pytest.mark.parametrize("name", OVERLAYS)
def test_what_is_scaled_is_there_and_nothing_is_scaled_twice(name: str) -> None:
    """Each of our Deployments has one autoscaler; two would conflict."""
    scalers = [
        *of_kind(overlay(name), "HorizontalPodAutoscaler").values(),
        *of_kind(overlay(name), "ScaledObject").values(),
    ]
    scaled = [one["spec"]["scaleTargetRef"]["name"] for one in scalers]
    expected = ["gateway", "orders", "users"] + (["worker"] if name == "prod" else [])
    assert sorted(scaled) == expected
    deployments = of_kind(overlay(name), "Deployment")
    assert all("replicas" not in deployments[one]["spec"] for one in scaled)


@pytest.mark.parametrize("name", OVERLAYS)
def test_postgres_has_a_connection_for_everybody(name: str) -> None:
    """There are enough connections even if every service has its maximum size and one more pod during a rollout."""
    autoscalers = of_kind(overlay(name), "HorizontalPodAutoscaler")
    most = {one: autoscalers[one]["spec"]["maxReplicas"] + 1 for one in ("users", "orders")}
    most["worker"] = SCALED["spec"]["maxReplicaCount"] + 1 if name == "prod" else 1
    needed = sum(count * connections(name, service) for service, count in most.items())
    assert needed + 10 <= max_connections(name)
    if name == "prod":
        assert f"processes open {needed} connections" in PAGE
        assert f"`max_connections` is {max_connections(name)}" in PAGE


def test_the_page_says_how_many_there_may_be() -> None:
    """The page has the minimum and maximum of each service."""
    scaled = of_kind(overlay("prod"), "HorizontalPodAutoscaler")
    bounds = [
        (scaled[one]["spec"]["minReplicas"], scaled[one]["spec"]["maxReplicas"])
        for one in ("gateway", "users", "orders")
    ]
    assert f"| {', '.join(f'{least} to {most}' for least, most in bounds)} |" in PAGE
    assert f"| {SCALED['spec']['minReplicaCount']} to {SCALED['spec']['maxReplicaCount']} |" in PAGE


def connections(name: str, service: str) -> int:
    [container] = of_kind(overlay(name), "Deployment")[service]["spec"]["template"]["spec"]["containers"]
    default = import_module(f"services.{service}.settings").Settings.model_fields["pool_size"].default
    return 2 * int(environment(name, container).get(f"{service.upper()}_POOL_SIZE", default)) + BESIDE_THE_POOLS


def max_connections(name: str) -> int:
    if name == "prod":
        return int(of_kind(overlay(name), "Cluster")["postgres"]["spec"]["postgresql"]["parameters"]["max_connections"])
    [server] = of_kind(overlay(name), "StatefulSet")["postgres"]["spec"]["template"]["spec"]["containers"]
    return int(server["args"][1].removeprefix("max_connections="))


def test_the_brokers_policy_is_the_one_of_the_repository() -> None:
    """The operator's resources have the same policies as definitions.json."""
    told = json.loads((ROOT / "deploy/rabbitmq/definitions.json").read_text())["policies"]
    stated = [one["spec"] for one in of_kind(overlay("prod"), "Policy").values()]
    same = [{**one, "apply-to": one["applyTo"]} for one in stated]
    keys = ("vhost", "name", "pattern", "apply-to", "priority", "definition")
    assert sorted([{key: one[key] for key in keys} for one in same], key=str) == sorted(told, key=str)


def test_the_clusters_outlive_one_of_their_nodes() -> None:
    """Each cluster has three nodes on separate machines, and a commit is on two of them before it is confirmed."""
    postgres = of_kind(overlay("prod"), "Cluster")["postgres"]["spec"]
    assert (postgres["instances"], postgres["affinity"]["podAntiAffinityType"]) == (3, "required")
    assert postgres["postgresql"]["synchronous"] == {"method": "any", "number": 1, "dataDurability": "required"}
    rabbitmq = of_kind(overlay("prod"), "RabbitmqCluster")["rabbitmq"]["spec"]
    assert rabbitmq["replicas"] == 3
    assert rabbitmq["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert of_kind(overlay("prod"), "RedisReplication")["redis"]["spec"]["clusterSize"] == 3


def test_each_database_has_its_role_and_no_other_may_enter() -> None:
    """Each database has a role and a secret of the same name, and a last rule rejects all other access."""
    spec = of_kind(overlay("prod"), "Cluster")["postgres"]["spec"]
    roles = {one["name"]: one["passwordSecret"]["name"] for one in spec["managed"]["roles"]}
    first = spec["bootstrap"]["initdb"]
    roles[first["owner"]] = first["secret"]["name"]
    assert roles == {name: f"{name}-database" for name in ("users", "orders", "worker")}
    owners = {one["spec"]["name"]: one["spec"]["owner"] for one in of_kind(overlay("prod"), "Database").values()}
    assert owners | {first["database"]: first["owner"]} == {name: name for name in roles}
    *own, last = spec["postgresql"]["pg_hba"]
    assert own == [f"host {name} {name} all scram-sha-256" for name in ("users", "orders", "worker")]
    assert last == "host all users,orders,worker all reject"
