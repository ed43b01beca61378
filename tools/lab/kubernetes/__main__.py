"""Print what was validated, and against what; exit with status 1 if something would be refused.

`--definitions FOLDER` also validates against the definitions (CRDs) of operators in that folder.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tools.lab.kubernetes import definitions
from tools.lab.kubernetes.build import OVERLAYS, overlay
from tools.lab.kubernetes.schemas import VERSION, is_operators, problems


def report(name: str) -> Iterator[str]:
    """Return one line for each kind, and one for each problem."""
    counts = Counter((is_operators(one), one["apiVersion"], one["kind"]) for one in overlay(name))
    wrong = [f"{one['kind']} {one['metadata']['name']}: {each}" for one in overlay(name) for each in problems(one)]
    yield f"{name}: {counts.total()} manifests, {len(wrong)} problems"
    for (operators, version, kind), count in sorted(counts.items()):
        yield f"  {count:3}  {version} {kind}, {'schema of our own' if operators else f'Kubernetes {VERSION}, strict'}"
    yield from (f"  WRONG {line}" for line in wrong)


def compared(folder: Path) -> Iterator[str]:
    """Return one line for each resource of `overlays/prod` that a definition in the folder describes."""
    known = definitions.definitions(folder)
    for one in overlay("prod"):
        if (one["apiVersion"], one["kind"]) in known:
            wrong = definitions.problems(one, known)
            result = f"WRONG {'; '.join(wrong)}" if wrong else "as its definition says"
            yield f"{one['apiVersion']} {one['kind']} {one['metadata']['name']}: {result}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--definitions", type=Path, metavar="FOLDER")
    folder = parser.parse_args().definitions
    lines = [line for name in OVERLAYS for line in report(name)]
    lines += compared(folder) if folder else []
    sys.stdout.write("\n".join(lines) + "\n")
    sys.exit(any("WRONG" in line for line in lines))


if __name__ == "__main__":
    main()
