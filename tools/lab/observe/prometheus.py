"""A Prometheus next to a stack: start, query, stop."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.waiting import wait_until
from tools.devstack.system.ports import free_port
from tools.lab.observe.expressions import ALERTS, ROOT, with_window

LOCAL = ROOT / "deploy/prometheus/local.yml"
STEP_S = 5


@dataclass(frozen=True)
class Series:
    """`points` has pairs of seconds since the epoch and value."""

    labels: dict[str, str]
    points: Sequence[tuple[float, float]]


class Prometheus:
    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    @property
    def is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def sees(self, targets: int) -> bool:
        active = self._get("/api/v1/targets", state="active")["activeTargets"]
        return len(active) == targets and all(target["health"] == "up" for target in active)

    def over(self, expression: str, start: float, end: float) -> list[Series]:
        """Query a range as Grafana does for a panel; ignores NaN."""
        query = with_window(expression, "30s")
        found = self._get("/api/v1/query_range", query=query, start=start, end=end, step=STEP_S)["result"]
        series = [
            Series(one["metric"], [(at, float(value)) for at, value in one["values"] if value not in ("NaN", "+Inf")])
            for one in found
        ]
        return [one for one in series if one.points]

    def _get(self, path: str, **params: object) -> Any:
        return self._http.get(path, params=params).raise_for_status().json()["data"]  # type: ignore[arg-type]


@contextmanager
def prometheus(folder: Path, targets: Path) -> Iterator[Prometheus]:
    """Run Prometheus with the configuration for one machine, and the targets of this stack."""
    program = shutil.which("prometheus") or sys.exit("no prometheus: tools/devstack/install.sh prometheus")
    told = LOCAL.read_text().replace("../../.local/prometheus-targets.json", str(targets))
    config = folder / "prometheus.yml"
    config.write_text(told.replace("[alerts.yml]", f"[{ALERTS}]"))
    address = f"127.0.0.1:{free_port()}"
    arguments = [f"--config.file={config}", f"--storage.tsdb.path={folder / 'tsdb'}", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=subprocess.STDOUT)
    try:
        running = Prometheus(f"http://{address}")
        wait_until(lambda: running.is_ready, within=60)
        yield running
    finally:
        process.terminate()
        process.wait(30)
