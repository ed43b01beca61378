"""Each process receives the settings that it needs, by their names."""

import os
from pathlib import Path

import pytest

from services.gateway.catalog.catalog import packaged
from shared.config.settings import SUFFIX, ServiceSettings, variable_of
from shared.feature import settings_of
from tools.cli.main import WITH_DATABASE
from tools.lab.kubernetes.build import OVERLAYS, Manifest, of_kind, overlay
from tools.lab.kubernetes.environment import Data, environment, mounted

SERVICES = ("gateway", "users", "orders", "worker")
EACH = pytest.mark.parametrize(("name", "service"), [(name, service) for name in OVERLAYS for service in SERVICES])
NOT_SETTINGS = {"RABBITMQ_USER", "RABBITMQ_PASSWORD", "REDIS_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
"""Parts of addresses, and variables of the S3 client."""


def settings_types(service: str) -> list[type[ServiceSettings]]:
    return settings_of(f"services.{service}")


def template_of(name: str, service: str) -> Manifest:
    template: Manifest = of_kind(overlay(name), "Deployment")[service]["spec"]["template"]
    return template


def told(name: str, service: str) -> Data:
    [container] = template_of(name, service)["spec"]["containers"]
    return environment(name, container)


@EACH
def test_no_variable_is_unknown(name: str, service: str) -> None:
    """Each variable is a setting of that service, the file of one, or a part of an address in another."""
    known = {variable_of(kind, field) for kind in settings_types(service) for field in kind.model_fields}
    known |= {variable + SUFFIX for variable in known} | NOT_SETTINGS | {f"{service.upper()}_DATABASE_PASSWORD"}
    if service == "gateway":  # docs/panels.md
        known |= {f"GATEWAY_{name.upper()}_URL" for name in packaged().services}
    assert set(told(name, service)) <= known


@EACH
def test_the_process_starts_with_what_it_is_told(
    name: str, service: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings can be created from the environment: none is missing, and in production none is a placeholder."""
    template = template_of(name, service)
    [container] = template["spec"]["containers"]
    for variable in os.environ:
        monkeypatch.delenv(variable)
    for variable, value in mounted(name, template, container, tmp_path).items():
        monkeypatch.setenv(variable, value)
    settings, *_ = [kind() for kind in settings_types(service)]
    assert settings.environment == {"dev": "development", "prod": "production"}[name]
    assert container["args"] == ["serve", service]
    assert settings.host == "0.0.0.0"  # noqa: S104  in the pod's own network


@EACH
def test_nothing_points_at_this_machine(name: str, service: str) -> None:
    """Every setting with a default server on the same machine is set to one in the cluster."""
    local = {
        variable_of(kind, field)
        for kind in settings_types(service)
        for field, info in kind.model_fields.items()
        if isinstance(info.default, str) and ("127.0.0.1:" in info.default or "localhost:" in info.default)
    }
    assert local <= set(told(name, service))
    assert not any("127.0.0.1" in value or "localhost" in value for value in told(name, service).values())


@pytest.mark.parametrize("name", OVERLAYS)
def test_every_address_is_a_service_of_the_overlay(name: str) -> None:
    """Hosts without a dot are Services: of the overlay, or created by an operator for one of its resources."""
    made = {"postgres": "postgres-rw", "rabbitmq": "rabbitmq", "redis": "redis-master"}
    operators = of_kind(overlay(name), "RabbitmqCluster") | of_kind(overlay(name), "RedisReplication")
    operators |= of_kind(overlay(name), "Cluster")
    services = set(of_kind(overlay(name), "Service")) | {made[one] for one in operators}
    for service in SERVICES:
        for value in told(name, service).values():
            host = value.partition("://")[2].rpartition("@")[2].partition("/")[0].partition(":")[0]
            assert not host or "." in host or host in services or value.startswith("s3://")


@pytest.mark.parametrize("name", OVERLAYS)
@pytest.mark.parametrize("service", WITH_DATABASE)
def test_each_migration_is_of_its_own_database(name: str, service: str) -> None:
    """Each migration runs as the service that uses the database and waits for the migration before it starts."""
    database = f"{service.upper()}_DATABASE_URL"
    jobs = of_kind(overlay(name), "Job")
    [job] = [one for one in jobs if one.startswith(f"migrate-{service}-")]
    [container] = jobs[job]["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate", service]
    [waiting] = template_of(name, service)["spec"]["initContainers"]
    assert waiting["args"] == ["migrate", "--wait", service]
    urls = {environment(name, one)[database] for one in (container, waiting)} | {told(name, service)[database]}
    assert len(urls) == 1


def test_production_is_behind_tls() -> None:
    """Cookies are sent only over HTTPS, browsers remember this, and the ingress is trusted for client addresses."""
    settings = told("prod", "gateway")
    assert settings["GATEWAY_SECURE_COOKIES"] == "true"
    assert int(settings["GATEWAY_HSTS_MAX_AGE_S"]) > 0
    assert settings["GATEWAY_TRUSTED_PROXIES"]
    ingress = of_kind(overlay("prod"), "Ingress")["gateway"]
    hosts = {rule["host"] for rule in ingress["spec"]["rules"]}
    assert {host for one in ingress["spec"]["tls"] for host in one["hosts"]} == hosts
    assert "cert-manager.io/cluster-issuer" in ingress["metadata"]["annotations"]


def test_plain_http_is_redirected() -> None:
    """Requests to port 80 are answered with a redirect for the same host. The middleware is named as Traefik does:
    namespace-name@kubernetescrd."""
    ingresses = of_kind(overlay("prod"), "Ingress")
    plain = ingresses["gateway-http"]
    annotations = plain["metadata"]["annotations"]
    assert annotations["traefik.ingress.kubernetes.io/router.entrypoints"] == "web"
    [middleware] = of_kind(overlay("prod"), "Middleware").values()
    where = f"{middleware['metadata']['namespace']}-{middleware['metadata']['name']}@kubernetescrd"
    assert annotations["traefik.ingress.kubernetes.io/router.middlewares"] == where
    assert middleware["spec"]["redirectScheme"] == {"scheme": "https", "permanent": True}
    assert plain["spec"]["rules"] == ingresses["gateway"]["spec"]["rules"]
