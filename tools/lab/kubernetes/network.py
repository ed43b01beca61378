"""The connections that the NetworkPolicies of an overlay allow: both ends must allow them.

Every endpoint has a short name: a pod its label `part`, others their namespace, and addresses outside the cluster
`internet` and `private`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from tools.lab.kubernetes.build import Manifest, of_kind, templates

Edge = tuple[str, str, int]
"""The source, the destination and the port of a connection."""

Labels = dict[str, str]

NAMESPACE = "kubernetes.io/metadata.name"
HOME = "dashboard"
ADDRESSES = {"internet": ("93.184.215.14", "2606:2800:21f:cb07::1"), "private": ("10.1.2.3", "fd00::1")}


@dataclass(frozen=True)
class Peer:
    """An endpoint of connections; `addresses` has those of endpoints that are not pods."""

    name: str
    namespace: str
    labels: Labels = field(default_factory=dict)
    ports: Labels = field(default_factory=dict)
    addresses: tuple[str, ...] = ()


def peers(manifests: tuple[Manifest, ...]) -> list[Peer]:
    """Return the pods of an overlay, including those that operators create from its resources, and endpoints
    outside."""
    ours = {labels["part"]: Peer(labels["part"], HOME, labels, ports) for labels, ports in _pods(manifests)}
    names = {term for rule in _namespaces(manifests) for term in rule}
    dns = Peer("kube-dns", "kube-system", {"k8s-app": "kube-dns"})
    solvers = [SOLVER] if any(map(_asks_for_a_certificate, manifests)) else []
    others = [Peer(name, name) for name in sorted(names - {"kube-system"})]
    outside = [Peer(name, "", addresses=addresses) for name, addresses in ADDRESSES.items()]
    return [*ours.values(), *solvers, dns, *others, Peer("elsewhere", "elsewhere"), *outside]


SOLVER = Peer("acme-solver", HOME, {"acme.cert-manager.io/http01-solver": "true"})
"""The pod that answers a certificate authority's challenge; cert-manager creates it in the namespace of the ingress."""


def _asks_for_a_certificate(manifest: Manifest) -> bool:
    annotations = manifest["metadata"].get("annotations", {})
    return manifest["kind"] == "Ingress" and "cert-manager.io/cluster-issuer" in annotations


def _pods(manifests: tuple[Manifest, ...]) -> Iterator[tuple[Labels, Any]]:
    for _, template in templates(manifests):
        ports = {
            port["name"]: port["containerPort"] for c in template["spec"]["containers"] for port in c.get("ports", [])
        }
        yield template["metadata"]["labels"], ports
    for one in manifests:
        match one["kind"]:
            case "Cluster":
                yield one["spec"]["inheritedMetadata"]["labels"] | {"cnpg.io/cluster": one["metadata"]["name"]}, {}
            case "RabbitmqCluster":
                yield one["spec"]["override"]["statefulSet"]["spec"]["template"]["metadata"]["labels"], {}
            case "RedisReplication" | "RedisSentinel":
                yield one["metadata"]["labels"], {}


def _namespaces(manifests: tuple[Manifest, ...]) -> Iterator[set[str]]:
    for policy in of_kind(manifests, "NetworkPolicy").values():
        for side, ends in (("ingress", "from"), ("egress", "to")):
            for rule in policy["spec"].get(side, []):
                terms = [
                    term["namespaceSelector"]["matchLabels"]
                    for term in rule.get(ends, [])
                    if "namespaceSelector" in term
                ]
                yield {labels[NAMESPACE] for labels in terms}


def allowed(manifests: tuple[Manifest, ...]) -> set[Edge]:
    """Return every connection that is allowed, at any port that a policy names, including connections of a pod to
    itself."""
    policies = [one["spec"] for one in of_kind(manifests, "NetworkPolicy").values()]
    known = peers(manifests)
    everybody = {peer.name: peer for peer in known}
    ports = sorted(_ports(policies, everybody))
    return {
        (source.name, target.name, port)
        for source in known
        for target in known
        for port in ports
        if (HOME in (source.namespace, target.namespace))
        and _lets(policies, "Egress", source, target, target, port)
        and _lets(policies, "Ingress", target, source, target, port)
    }


def _ports(policies: list[Manifest], everybody: dict[str, Peer]) -> set[int]:
    rules = [rule for policy in policies for side in ("ingress", "egress") for rule in policy.get(side, [])]
    told = {port["port"] for rule in rules for port in rule["ports"]}
    named = {int(number) for peer in everybody.values() for number in peer.ports.values()}
    return {port for port in told if isinstance(port, int)} | named


def _lets(policies: list[Manifest], direction: str, owner: Peer, other: Peer, target: Peer, port: int) -> bool:
    """Return whether the policies for `owner` allow connections with `other`. Without a policy, all connections are
    allowed."""
    if owner.namespace != HOME:
        return True
    about = [p for p in policies if direction in p["policyTypes"] and selects(p["podSelector"], owner.labels)]
    side, ends = ("egress", "to") if direction == "Egress" else ("ingress", "from")
    rules = [rule for policy in about for rule in policy.get(side, [])]
    return not about or any(_fits(rule, ends, other, target, port) for rule in rules)


def _fits(rule: Manifest, ends: str, other: Peer, target: Peer, port: int) -> bool:
    numbers = {target.ports.get(told["port"], told["port"]) for told in rule["ports"]}
    return port in numbers and (ends not in rule or any(_is(term, other) for term in rule[ends]))


def _is(term: Manifest, peer: Peer) -> bool:
    if "ipBlock" in term:
        return any(_holds(term["ipBlock"], address) for address in peer.addresses)
    if peer.addresses:
        return False
    if "namespaceSelector" in term:
        there = selects(term["namespaceSelector"], {NAMESPACE: peer.namespace})
    else:
        there = peer.namespace == HOME
    return there and selects(term.get("podSelector", {}), peer.labels)


def _holds(block: Manifest, address: str) -> bool:
    def inside(network: str) -> bool:
        return ip_address(address) in ip_network(network)

    return inside(block["cidr"]) and not any(inside(network) for network in block.get("except", []))


def selects(selector: Manifest, labels: Labels) -> bool:
    """Return whether a label selector matches; supports equality and `In`."""
    exact = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions)
    return exact and all(labels.get(one["key"]) in one["values"] for one in expressions)
