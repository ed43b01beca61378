"""deploy/versions.toml is the one list of servers and operators: every file that names one agrees with it."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.backends import containers as backends
from tests.support.compose_file import read_compose
from tools.lab.kubernetes.build import ROOT, containers, of_kind, overlay, templates

VERSIONS: dict[str, Any] = tomllib.loads((ROOT / "deploy/versions.toml").read_text())
SERVERS: dict[str, dict[str, Any]] = VERSIONS["servers"]
OPERATORS: dict[str, dict[str, str]] = VERSIONS["operators"]
PAGE = (ROOT / "docs/kubernetes.md").read_text()


def of_compose() -> Iterator[str]:
    for name in ("docker-compose.yml", "deploy/compose/production.yml", "deploy/compose/observability.yml"):
        services = read_compose(ROOT / name)["services"]
        yield from (service["image"] for service in services.values() if service and "image" in service)


def of_development() -> Iterator[str]:
    for _, template in templates(overlay("dev")):
        yield from (container["image"] for container in containers(template))


def of_production() -> Iterator[str]:
    yield of_kind(overlay("prod"), "Cluster")["postgres"]["spec"]["imageName"]
    yield of_kind(overlay("prod"), "RabbitmqCluster")["rabbitmq"]["spec"]["image"]
    for kind in ("RedisReplication", "RedisSentinel"):
        yield of_kind(overlay("prod"), kind)["redis"]["spec"]["kubernetesConfig"]["image"]


def listed(*columns: str) -> set[str]:
    return {server[column] for server in SERVERS.values() for column in columns if column in server}


def test_compose_and_development_run_the_listed_images() -> None:
    """Every image of compose but ours is in the list, and every image of the list is used there."""
    assert set(of_compose()) - {"dashboard"} == listed("image")
    assert {image for image in of_development() if not image.startswith("dashboard:")} <= listed("image")


def test_production_runs_the_listed_images() -> None:
    """The resources of the operators name the images of the list."""
    assert set(of_production()) == listed("production", "sentinel")


def test_the_container_tests_run_the_listed_images() -> None:
    """Tests in containers use the images of compose."""
    used = {backends.POSTGRES_IMAGE, backends.REDIS_IMAGE, backends.RABBITMQ_IMAGE}
    assert used == {SERVERS[name].get("tests", SERVERS[name]["image"]) for name in ("postgres", "redis", "rabbitmq")}


@pytest.mark.parametrize("name", SERVERS)
def test_every_image_of_a_server_has_one_major_version(name: str) -> None:
    """What is developed and tested with is what production runs; no image is without a version."""
    images = [
        SERVERS[name][column] for column in ("image", "tests", "production", "sentinel") if column in SERVERS[name]
    ]
    majors = {re.sub(r"^v?(\d+).*", r"\1", image.rpartition(":")[2]) for image in images}
    assert majors == {str(SERVERS[name]["major"])}


@pytest.mark.parametrize("name", OPERATORS)
def test_the_page_names_the_versions_of_the_operators(name: str) -> None:
    """The table in docs/kubernetes.md has the oldest and the tested version of each operator."""
    oldest, tested = OPERATORS[name]["oldest"], OPERATORS[name]["tested"]
    assert re.search(rf"^ +\| .*\| {re.escape(oldest)} \| {re.escape(tested)} \|", PAGE, re.MULTILINE)
    assert [int(part) for part in oldest.split(".")] <= [int(part) for part in tested.split(".")]
