"""The results of a run's checks, as parts of a Markdown report."""

from collections.abc import Iterator, Sequence

from tools.lab.chaos.checks import Check

EXAMPLES = 5


def row(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def number(checks: Sequence[Check], name: str) -> str:
    """Return the number of violations of the check with this name; a dash if it was not made."""
    return next((_number(check) for check in checks if check.name == name), "-")


def examples(what: str, checks: Sequence[Check]) -> Iterator[str]:
    """Return examples of the violations of each check; `what` was run."""
    for check in checks:
        if check.found and not isinstance(check.found, range):
            yield f"\n{what}: {check.name}\n"
            yield from (f"- `{found}`" for found in check.found[:EXAMPLES])


def _number(check: Check) -> str:
    return f"**{len(check.found)}**" if check.fails and check.found else str(len(check.found))
