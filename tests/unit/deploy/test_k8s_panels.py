"""The panels file reaches the gateways of every overlay, and another overlay can replace it."""

import os
from pathlib import Path
from typing import Any

import pytest

from services.gateway.settings import PANELS_FILE
from tools.lab.kubernetes.build import K8S, OVERLAYS, Manifest, build, of_kind, overlay
from tools.lab.kubernetes.environment import configs, environment

OWN = '[services.crm]\nurl = "http://crm.shop:8000"\n[panels]\n'
OVERLAY = """
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: dashboard
resources: [{base}]
configMapGenerator:
  - name: panels
    behavior: replace
    files: [panels.toml]
"""


def mounted_config(manifests: tuple[Manifest, ...]) -> tuple[str, str]:
    """Return the path of the folder that the gateway's panels are mounted at, and the name of the ConfigMap."""
    spec: dict[str, Any] = of_kind(manifests, "Deployment")["gateway"]["spec"]["template"]["spec"]
    [volume] = [each for each in spec["volumes"] if each["name"] == "panels"]
    [mount] = [each for each in spec["containers"][0]["volumeMounts"] if each["name"] == "panels"]
    return mount["mountPath"], volume["configMap"]["name"]


@pytest.mark.parametrize("name", OVERLAYS)
def test_the_gateway_reads_the_packaged_file(name: str) -> None:
    """The ConfigMap has the same text, and the setting names the file where it is mounted. No single file is mounted:
    the kubelet would never renew it."""
    folder, config = mounted_config(overlay(name))
    assert configs(name)[config] == {"panels.toml": PANELS_FILE.read_text()}
    [container] = of_kind(overlay(name), "Deployment")["gateway"]["spec"]["template"]["spec"]["containers"]
    assert environment(name, container)["GATEWAY_PANELS_FILE"] == f"{folder}/panels.toml"
    assert not any("subPath" in mount for mount in container["volumeMounts"])


def test_an_overlay_replaces_the_file(tmp_path: Path) -> None:
    """As docs/panels.md says: its gateways get another ConfigMap, so that they are replaced."""
    (tmp_path / "panels.toml").write_text(OWN)
    base = os.path.relpath(K8S / "overlays/prod", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(OVERLAY.format(base=base))
    manifests = build(tmp_path)
    _, config = mounted_config(manifests)
    assert of_kind(manifests, "ConfigMap")[config]["data"] == {"panels.toml": OWN}
    assert config != mounted_config(overlay("prod"))[1]
