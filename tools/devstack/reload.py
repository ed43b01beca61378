"""`dashboard up --reload`: restarts the services whose files change."""

import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from watchfiles import watch

from tools.devstack.plan import DATA_SERVICES, SERVICES
from tools.devstack.stack import Stack
from tools.devstack.system.errors import StackError

ROOT = Path(__file__).parents[2]
WATCHED = ("services", "shared")
DEBOUNCE_MS = 300
"""How long the files must be unchanged: an editor that saves several is one change."""
UNWATCHED = frozenset({Path("services/gateway/panels.toml")})
"""Files that a running service reads again by itself."""


class Reloader:
    """Watches the code until it is stopped. A change that cannot run is reported, and the next change is tried."""

    def __init__(self, stack: Stack, root: Path, say: Callable[[str], None]) -> None:
        self._stack = stack
        self._say = say
        self._root = root.resolve()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        folders = [self._root / name for name in WATCHED]
        for change in watch(*folders, debounce=DEBOUNCE_MS, stop_event=self._stopping, raise_interrupt=False):
            self._reload({Path(path).relative_to(self._root) for _, path in change})

    def _reload(self, changed: set[Path]) -> None:
        names = concerned(changed)
        if not names:
            return
        self._say(f"{_described(changed)} changed: restarting {', '.join(names)}")
        try:
            self._stack.reload(names, migrated(changed))
        except (StackError, OSError) as error:
            if not self._stopping.is_set():
                self._say(str(error))
        else:
            self._say(f"{', '.join(names)} restarted")


def concerned(changed: Iterable[Path]) -> list[str]:
    """Return the names of the services that run these files, in the order of their start. Paths are relative to the
    repository."""
    found = {name for path in changed if path not in UNWATCHED for name in _users_of(path)}
    return [name for name in SERVICES if name in found]


def migrated(changed: Iterable[Path]) -> list[str]:
    """Return the names of the services whose migrations are among these files."""
    return [
        name for name in DATA_SERVICES if any(path.parts[:3] == ("services", name, "migrations") for path in changed)
    ]


def _users_of(path: Path) -> tuple[str, ...]:
    match path.parts:
        case ("services", name, _, *_) if name in SERVICES:
            return (name,)
        case ("services" | "shared", *_):
            return SERVICES
        case _:
            return ()


def _described(changed: set[Path]) -> str:
    first, *others = sorted(map(str, changed))
    return f"{first} and {len(others)} more" if others else first
