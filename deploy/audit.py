"""Asks PyPI whether anything in the image has a known vulnerability; `make lint` runs it.

Exits with 1 and the findings where there are any. Where no vulnerability data can be had (no network, or a mirror that
has none) it says so in one line and exits with 0, or with 1 where `AUDIT=required`, as in CI.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
KNOWN_AS_VULNERABLE = "jinja2==2.10\n"
"""Whoever knows nothing against this one has no data: a mirror without it calls everything clean."""
TIMEOUT_S = 10
WAIT_S = 300

Report = dict[str, Any]


class NoData(Exception):
    """Nobody answers who would know."""


def findings(report: Report) -> Iterator[str]:
    """One line for each vulnerability."""
    for package in report["dependencies"]:
        for found in package.get("vulns", ()):
            fixed = ", ".join(found["fix_versions"]) or "no version"
            yield f"{package['name']} {package['version']}: {found['id']}, fixed in {fixed}"


def unknown(report: Report) -> list[str]:
    """Packages about which nobody could say anything."""
    return [package["name"] for package in report["dependencies"] if "skip_reason" in package]


def ask(requirements: str) -> Report:
    """What is known of these packages, in the form of pip-audit. Raises `NoData`."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answer = Path(folder, "requirements.txt"), Path(folder, "report.json")
        asked.write_text(requirements)
        command = [str(Path(sys.executable).with_name("pip-audit")), "-r", str(asked), "--disable-pip", "--no-deps"]
        command += ["--format", "json", "--output", str(answer), "--progress-spinner", "off"]
        command += ["--timeout", str(TIMEOUT_S)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)  # noqa: S603  our command
        except subprocess.TimeoutExpired:
            raise NoData(f"no answer within {WAIT_S} s") from None
        except FileNotFoundError:
            raise NoData("pip-audit is not installed") from None
        try:
            report: Report = json.loads(answer.read_text())
        except (FileNotFoundError, ValueError):
            raise NoData((done.stderr.strip().splitlines() or ["no answer"])[-1]) from None
    return report


def locked() -> str:
    """What the image holds, as uv.lock has it."""
    uv = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "uv"
    command = [uv, "export", "--quiet", "--locked", "--no-dev", "--no-emit-project", "--no-hashes"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout  # noqa: S603  ours


def main() -> int:
    try:
        if not list(findings(ask(KNOWN_AS_VULNERABLE))):
            raise NoData("the index has no vulnerability data")
        report = ask(locked())
        if untold := unknown(report):
            raise NoData(f"nothing is known of {', '.join(untold)}")
    except NoData as reason:
        print(f"audit: not done: {reason}")  # noqa: T201  its output
        return int(os.environ.get("AUDIT") == "required")
    found = list(findings(report))
    for line in found:
        print(f"audit: {line}")  # noqa: T201  its output
    if not found:
        print(f"audit: nothing known against {len(report['dependencies'])} packages")  # noqa: T201  its output
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
