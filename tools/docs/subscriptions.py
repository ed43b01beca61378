"""shared/contracts/subscriptions.py, from the decorators of the worker's jobs."""

from services.worker import jobs
from shared.contracts import subscriptions

WIDTH = 120


def as_module() -> str:
    head = f'"""{subscriptions.__doc__}"""\n\nSUBSCRIPTIONS: dict[str, tuple[str, ...]] = {{\n'
    rows = [_row(name, declared.types) for name, declared in jobs.discover().items() if declared.types]
    return head + "".join(rows) + "}\n"


def _row(name: str, types: tuple[str, ...]) -> str:
    """As the formatter writes it."""
    quoted = [f'"{each}"' for each in types]
    inside = f"{quoted[0]}," if len(quoted) == 1 else ", ".join(quoted)
    line = f'    "{name}": ({inside}),\n'
    if len(line) <= WIDTH + 1:
        return line
    return f'    "{name}": (\n' + "".join(f"        {each},\n" for each in quoted) + "    ),\n"
