"""The command lines of the processes that the stack runs besides its servers."""

import sys
from collections.abc import Callable
from dataclasses import dataclass

_DASHBOARD = (sys.executable, "-m", "services.cli")


def _serve(name: str) -> list[str]:
    return [*_DASHBOARD, "serve", name]


def _migrate(name: str) -> list[str]:
    return [*_DASHBOARD, "migrate", name]


@dataclass(frozen=True)
class Commands:
    serve: Callable[[str], list[str]] = _serve
    migrate: Callable[[str], list[str]] = _migrate
    seed: tuple[str, ...] = (*_DASHBOARD, "seed")
