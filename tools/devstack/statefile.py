"""`stack.json`: where everything is and which processes to end to end it, for tools and tests; and
`prometheus-targets.json`: where metrics are, for a Prometheus on this machine (`deploy/prometheus/local.yml`)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tools.devstack.backing import Backing
from tools.devstack.plan import Planned
from tools.devstack.service import Service
from tools.devstack.system.files import write_atomically


def state(
    backing: Backing, databases: Mapping[str, str], services: Sequence[tuple[Planned, Service]]
) -> dict[str, Any]:
    servers: dict[str, dict[str, Any]] = {
        server.name: {"url": server.url, "pids": list(server.pids)} for server in backing.all
    }
    servers["postgres"]["databases"] = dict(databases)
    names = dict.fromkeys(planned.name for planned, _ in services)
    return {name: _service(name, services) for name in names} | servers


def targets(services: Sequence[tuple[Planned, Service]]) -> list[dict[str, Any]]:
    """As `file_sd_configs` of Prometheus reads them."""
    return [
        {"targets": [urlsplit(_metrics_url(planned)).netloc], "labels": {"process": planned.name}}
        for planned, _ in services
    ]


def write_state(path: Path, content: object) -> None:
    write_atomically(path, json.dumps(content, indent=2) + "\n")


def _metrics_url(planned: Planned) -> str:
    return planned.internal_url if planned.name == "gateway" else planned.url


def _service(name: str, services: Sequence[tuple[Planned, Service]]) -> dict[str, Any]:
    mine = [(planned, service) for planned, service in services if planned.name == name]
    first = mine[0][0]
    entry: dict[str, Any] = {
        "url": first.url,
        "urls": [planned.url for planned, _ in mine],
        "pids": [pid for _, service in mine for pid in service.pids],
    }
    internal = [planned.internal_url for planned, _ in mine]
    return entry | ({"internal_url": internal[0], "internal_urls": internal} if name == "gateway" else {})
