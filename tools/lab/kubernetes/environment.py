"""The configuration of a process in a manifest: its environment, and its mounted files."""

import json
import os
import re
import subprocess
import sys
from base64 import b64decode
from functools import cache
from pathlib import Path

from tools.lab.kubernetes.build import ROOT, Manifest, of_kind, overlay

Data = dict[str, str]

TOLD = {
    "SMTP_URL": "smtps://dashboard:secret@mail.example.com:465",
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
}


@cache
def secrets(name: str) -> dict[str, Data]:
    """Return the secrets of an overlay: those in `dev`, and those that the script creates for `prod`."""
    made = of_kind(overlay(name), "Secret")
    if made:
        return {
            known: {key: b64decode(value).decode() for key, value in one["data"].items()} for known, one in made.items()
        }
    return {one["metadata"]["name"]: one["stringData"] for one in made_secrets()}


def made_secrets() -> list[Manifest]:
    """Return the secrets that the script creates for `prod`."""
    script = [sys.executable, str(ROOT / "deploy/k8s/make_secrets.py")]
    ran = subprocess.run(script, check=True, capture_output=True, text=True, env=os.environ | TOLD)
    items: list[Manifest] = json.loads(ran.stdout)["items"]
    return items


def configs(name: str) -> dict[str, Data]:
    return {known: one["data"] for known, one in of_kind(overlay(name), "ConfigMap").items()}


def environment(overlay_name: str, container: Manifest) -> Data:
    """Return the environment as the kubelet builds it: the ConfigMaps, then `env` in its order, where `$(NAME)` is an
    earlier value."""
    told: Data = {}
    for source in container.get("envFrom", []):
        told |= configs(overlay_name)[source["configMapRef"]["name"]]
    own: Data = {}
    for one in container.get("env", []):
        own[one["name"]] = _value(overlay_name, one, own)
    return told | own


def _value(overlay_name: str, variable: Manifest, before: Data) -> str:
    if "valueFrom" in variable:
        wanted = variable["valueFrom"]["secretKeyRef"]
        return secrets(overlay_name)[wanted["name"]][wanted["key"]]
    return re.sub(r"\$\((\w+)\)", lambda found: before[found[1]], variable["value"])


def mounted(overlay_name: str, template: Manifest, container: Manifest, folder: Path) -> Data:
    """Write the mounted files into `folder`, and return the environment with their paths there."""
    volumes = {volume["name"]: volume for volume in template["spec"].get("volumes", [])}
    told = environment(overlay_name, container)
    for mount in container.get("volumeMounts", []):
        for key, text in _files(overlay_name, volumes[mount["name"]]).items():
            file = folder / mount["name"] / key
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            told |= {name: str(file) for name, value in told.items() if value == f"{mount['mountPath']}/{key}"}
    return told


def _files(overlay_name: str, volume: Manifest) -> Data:
    """Return the files of a volume by name: those of a Secret or of a ConfigMap."""
    if secret := volume.get("secret"):
        return secrets(overlay_name)[secret["secretName"]]
    config = volume.get("configMap")
    return configs(overlay_name)[config["name"]] if config else {}
