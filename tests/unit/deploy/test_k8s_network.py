"""The NetworkPolicies allow the connections of the map, and no others."""

from tools.lab.kubernetes.build import of_kind, overlay
from tools.lab.kubernetes.network import HOME, Edge, allowed, peers

HTTP, INTERNAL, POSTGRES, REDIS, AMQP, MANAGEMENT, SENTINEL = 8000, 9000, 5432, 6379, 5672, 15672, 26379

MAP: set[Edge] = {
    ("gateway", "users", HTTP),
    ("gateway", "orders", HTTP),
    ("gateway", "worker", HTTP),
    ("gateway", "redis", REDIS),
    ("gateway", "rabbitmq", AMQP),
    ("users", "postgres", POSTGRES),
    ("users", "rabbitmq", AMQP),
    ("orders", "postgres", POSTGRES),
    ("orders", "rabbitmq", AMQP),
    ("worker", "postgres", POSTGRES),
    ("worker", "rabbitmq", AMQP),
    ("worker", "orders", HTTP),  # places the orders of imports
    ("worker", "users", HTTP),  # asks for the links of mails
    ("migrate", "postgres", POSTGRES),
    ("keda", "rabbitmq", MANAGEMENT),
    ("monitoring", "gateway", INTERNAL),
    ("monitoring", "users", HTTP),
    ("monitoring", "orders", HTTP),
    ("monitoring", "worker", HTTP),
    *(("worker", "internet", port) for port in (80, 443, 8080, 8443)),  # webhooks
}

DEV: set[Edge] = {
    *((who, "gateway", HTTP) for who in ("elsewhere", "internet", "keda", "kube-dns", "monitoring", "private")),
    ("worker", "mail", 1025),
    ("broker-policy", "rabbitmq", MANAGEMENT),
    ("seed", "postgres", POSTGRES),
}

API_SERVER = {
    (cluster, where, port)
    for cluster in ("postgres", "rabbitmq")
    for where in ("internet", "private")
    for port in (443, 6443)
}

PROD: set[Edge] = {
    ("traefik", "gateway", HTTP),
    ("traefik", "acme-solver", 8089),  # the challenge of cert-manager
    *(("worker", where, port) for where in ("internet", "private") for port in (465, 587)),  # the mail server
    *API_SERVER,
    ("cnpg-system", "postgres", POSTGRES),
    ("cnpg-system", "postgres", 8000),
    ("postgres", "postgres", POSTGRES),
    ("postgres", "postgres", 8000),
    ("monitoring", "postgres", 9187),
    ("rabbitmq-system", "rabbitmq", MANAGEMENT),
    ("rabbitmq", "rabbitmq", 4369),
    ("rabbitmq", "rabbitmq", 25672),
    ("monitoring", "rabbitmq", 15692),
    ("redis", "redis", REDIS),
    ("redis-sentinel", "redis", REDIS),
    ("redis-sentinel", "redis-sentinel", SENTINEL),
    ("redis-operator", "redis", REDIS),
    ("redis-operator", "redis-sentinel", SENTINEL),
}


def names(name: str) -> set[Edge]:
    """Return the connections for DNS, which every pod may use."""
    return {(peer.name, "kube-dns", 53) for peer in peers(overlay(name)) if peer.namespace == HOME}


def test_development_lets_through_the_map() -> None:
    """Development allows the map, a mail catcher, the setup jobs, and the gateway's public port from anywhere."""
    assert allowed(overlay("dev")) == MAP | DEV | names("dev")


def test_production_lets_through_the_map() -> None:
    """Production allows the map, the gateway's public port from the ingress only, and the connections of clusters and
    operators."""
    assert allowed(overlay("prod")) == MAP | PROD | names("prod")


def test_without_a_policy_everything_would_be_let_through() -> None:
    """Without policies, the model allows everything; the first policy denies everything."""
    without = tuple(
        one for one in overlay("dev") if one["kind"] != "NetworkPolicy" or one["metadata"]["name"] == "gateway"
    )
    assert ("users", "orders", HTTP) in allowed(without)
    assert ("seed", "gateway", INTERNAL) not in allowed(without)
    everything = of_kind(overlay("dev"), "NetworkPolicy")["nothing"]
    closed = (*(one for one in overlay("dev") if one["kind"] != "NetworkPolicy"), everything)
    assert allowed(closed) == set()


def test_the_ports_of_webhooks_are_those_of_the_setting() -> None:
    """The network allows the ports that the worker may call, and no private address."""
    from services.worker.webhooks.settings import WebhookSettings

    ports = {int(port) for port in str(WebhookSettings.model_fields["webhook_ports"].default).split(",")}
    edges = allowed(overlay("dev"))
    assert {port for who, to, port in edges if (who, to) == ("worker", "internet")} == ports
    assert not [edge for edge in edges if edge[:2] == ("worker", "private")]
