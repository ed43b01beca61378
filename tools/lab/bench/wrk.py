"""The load: wrk, one thread on a core that the measured server does not use."""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.lab.bench.cpu import OTHER_CORE, pinned

SCRIPT = Path(__file__).with_name("load.lua")
NUMBER = "{number}"
"""A placeholder in the value of a header: replaced by a different number in each request."""


@dataclass(frozen=True)
class Request:
    """`body` is text without tabs and line ends."""

    path: str
    headers: Mapping[str, str]
    method: str = "GET"
    body: str = ""


@dataclass(frozen=True)
class Load:
    """The responses. Times are in ms. `failures` are all requests without a good response, and `refused` are those with
    an error response. `fresh` has the number of fresh panels by name."""

    requests: int
    seconds: float
    p50: float
    p99: float
    longest: float
    failures: int
    refused: int
    fresh: Mapping[str, int]

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


def missing() -> str | None:
    """Return the reason why wrk cannot run, if there is one."""
    return next((f"{name} is not installed" for name in ("wrk", "taskset") if not shutil.which(name)), None)


def run(
    url: str,
    requests: Sequence[Request],
    callers: int,
    seconds: float,
    *,
    count: Sequence[str] = (),
    every: bool = False,
) -> Load:
    """Send the requests in random order, or with `every` in turn.

    `count` names panels whose `fresh` is counted in every response, at the cost of the load generator.
    """
    with tempfile.TemporaryDirectory() as folder:
        given = Path(folder, "requests")
        given.write_text("".join(f"{_line(request)}\n" for request in requests))
        script = [str(given), "turn" if every else "random", ",".join(count)]
        whole = max(1, round(seconds)) if seconds >= 1 else 1
        command = [
            "wrk",
            "-t1",
            f"-c{callers}",
            f"-d{whole}s",
            "--timeout",
            "10s",
            "-s",
            str(SCRIPT),
            url,
            "--",
            *script,
        ]
        done = subprocess.run(pinned(OTHER_CORE, *command), capture_output=True, text=True, check=True)
    found = json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))
    return Load(**found)


def _line(request: Request) -> str:
    parts = [f"{request.method} {request.path}", *(f"{name}: {value}" for name, value in request.headers.items())]
    return "\t".join([*parts, f"body: {request.body}"] if request.body else parts)
