"""The addresses of the processes: as given on the command line, or those of the one-machine stack, or the defaults."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

GATEWAY = "http://127.0.0.1:8000"
INTERNAL = {
    "gateway": "http://127.0.0.1:9000",
    "users": "http://127.0.0.1:8001",
    "orders": "http://127.0.0.1:8002",
    "worker": "http://127.0.0.1:8003",
}


@dataclass(frozen=True)
class Process:
    """`url` is the address of its probes and metrics."""

    name: str
    url: str


def local_stack(data_dir: Path) -> Mapping[str, Any]:
    """Return the state file of the stack on this machine; empty if none runs."""
    try:
        told = json.loads((data_dir / "stack.json").read_text())
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}


def gateway_url(given: str | None, stack: Mapping[str, Any]) -> str:
    """The public address."""
    return (given or stack.get("gateway", {}).get("url") or GATEWAY).rstrip("/")


def processes(given: Mapping[str, str | None], stack: Mapping[str, Any]) -> list[Process]:
    """Return every process, with numbered replicas; `given` has one address per service, or several separated by
    commas."""
    found = []
    for name, usual in INTERNAL.items():
        urls = _split(given.get(name)) or _of_stack(name, stack) or [usual]
        numbers = ["", *(f"-{number}" for number in range(2, len(urls) + 1))]
        found += [Process(f"{name}{number}", url) for number, url in zip(numbers, urls, strict=True)]
    return found


def _split(urls: str | None) -> list[str]:
    return [url.strip().rstrip("/") for url in (urls or "").split(",") if url.strip()]


def _of_stack(name: str, stack: Mapping[str, Any]) -> Sequence[str]:
    urls: Sequence[str] = stack.get(name, {}).get("internal_urls" if name == "gateway" else "urls", [])
    return urls
