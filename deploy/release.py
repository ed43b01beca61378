"""Checks that every file names the version to release: `make releasable VERSION=0.2.0`. Standard library only.

Exits with 1 and a line for each file that names another one. The workflow `release` runs it before it builds.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PLACES = {
    "deploy/k8s/overlays/prod/kustomization.yaml": r"newTag: (\S+?)}",
    "deploy/k8s/overlays/prod/parameters.yaml": r"^  version: (\S+)$",
}


def problems(version: str, root: Path = ROOT) -> Iterator[str]:
    """Return a line for each file that names another version, or does not describe this one."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield f"{version or 'no version'}: not a version such as 0.2.0"
    named = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    if named != version:
        yield f"pyproject.toml: {named}"
    for place, pattern in PLACES.items():
        named = ", ".join(re.findall(pattern, (root / place).read_text(), re.MULTILINE))
        if named != version:
            yield f"{place}: {named}"
    if not re.search(rf"^## {re.escape(version)}\b", (root / "CHANGELOG.md").read_text(), re.MULTILINE):
        yield f"CHANGELOG.md: no section {version}"


def main() -> None:
    found = list(problems(sys.argv[1] if len(sys.argv) > 1 else ""))
    sys.stdout.write("".join(f"{line}\n" for line in found))
    sys.exit(bool(found))


if __name__ == "__main__":
    main()
