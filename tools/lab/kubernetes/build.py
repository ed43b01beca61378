"""An overlay, as `kubectl apply -k` sends it."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
K8S = ROOT / "deploy/k8s"
OVERLAYS = ("dev", "prod")

Manifest = dict[str, Any]
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The loader in C needs a tenth of the time."""


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    """Return all resources of the overlay, in the order in which they are applied."""
    return build(K8S / "overlays" / name)


@cache
def base() -> tuple[Manifest, ...]:
    return build(K8S / "base")


def build(folder: Path) -> tuple[Manifest, ...]:
    """Return all resources of a kustomization."""
    built = subprocess.run([_kubectl(), "kustomize", folder], check=True, capture_output=True, text=True)
    return tuple(yaml.load_all(built.stdout, LOADER))


def _kubectl() -> str:
    """Return kubectl of the virtual environment, which has the version of `uv.lock`."""
    beside = Path(sys.executable).with_name("kubectl")
    return str(beside) if beside.exists() else str(shutil.which("kubectl"))


def of_kind(manifests: tuple[Manifest, ...], *kinds: str) -> dict[str, Manifest]:
    """Return the resources of these kinds, by name. Two with the same name are an error."""
    found = [one for one in manifests if one["kind"] in kinds]
    by_name = {one["metadata"]["name"]: one for one in found}
    assert len(by_name) == len(found)
    return by_name


WORKLOADS = ("Deployment", "StatefulSet", "Job")


def templates(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Return each pod template, with the name of the resource that creates its pods."""
    for one in manifests:
        if one["kind"] in WORKLOADS:
            yield f"{one['kind']} {one['metadata']['name']}", one["spec"]["template"]


def containers(template: Manifest) -> list[Manifest]:
    """Return all containers of a pod, including init containers."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
