"""An overlay, as `kubectl apply -k` would send it."""

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
"""The one in C takes a tenth of the time."""


@cache
def overlay(name: str) -> tuple[Manifest, ...]:
    """Everything of it, in the order in which it is applied."""
    return _build(K8S / "overlays" / name)


@cache
def base() -> tuple[Manifest, ...]:
    return _build(K8S / "base")


def _build(folder: Path) -> tuple[Manifest, ...]:
    built = subprocess.run([_kubectl(), "kustomize", folder], check=True, capture_output=True, text=True)
    return tuple(yaml.load_all(built.stdout, LOADER))


def _kubectl() -> str:
    """The one of the virtual environment, which has the version of `uv.lock`."""
    beside = Path(sys.executable).with_name("kubectl")
    return str(beside) if beside.exists() else str(shutil.which("kubectl"))


def of_kind(manifests: tuple[Manifest, ...], *kinds: str) -> dict[str, Manifest]:
    """Those of some kinds, by name; a name that two of them share is refused."""
    found = [one for one in manifests if one["kind"] in kinds]
    by_name = {one["metadata"]["name"]: one for one in found}
    assert len(by_name) == len(found)
    return by_name


WORKLOADS = ("Deployment", "StatefulSet", "Job")


def templates(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """Each template of a pod, with the name of what makes pods of it."""
    for one in manifests:
        if one["kind"] in WORKLOADS:
            yield f"{one['kind']} {one['metadata']['name']}", one["spec"]["template"]


def containers(template: Manifest) -> list[Manifest]:
    """All of a pod, those that run first included."""
    spec = template["spec"]
    return [*spec.get("initContainers", []), *spec["containers"]]
