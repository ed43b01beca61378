"""Starts again whatever ends on its own."""

import signal
import threading
import time
from collections.abc import Callable

from tools.devstack.servers.base import Server
from tools.devstack.system.errors import StackError

FIRST = 0.2
LONGEST = 15.0
# Alive for this long, it counts as well again.
STABLE = 20.0


class Backoff:
    def __init__(self) -> None:
        self._next = FIRST

    def after(self, lifetime: float) -> float:
        if lifetime >= STABLE:
            self._next = FIRST
        delay = self._next
        self._next = min(delay * 2, LONGEST)
        return delay


class Supervisor:
    def __init__(self, say: Callable[[str], None], changed: Callable[[], None]) -> None:
        self._say = say
        self._changed = changed
        self._stopping = threading.Event()
        self._watchers: list[threading.Thread] = []

    def watch(self, server: Server) -> None:
        watcher = threading.Thread(target=self._keep_alive, args=(server,), daemon=True)
        self._watchers.append(watcher)
        watcher.start()

    def stop(self) -> None:
        """From now on, what ends is left alone."""
        self._stopping.set()

    def join(self, timeout: float) -> None:
        for watcher in self._watchers:
            watcher.join(timeout)

    def _keep_alive(self, server: Server) -> None:
        backoff = Backoff()
        while True:
            since = time.monotonic()
            code = server.wait()
            if self._stopping.is_set():
                return
            self._say(f"{server.name} {ending(code)}: starting it again (its log: {server.log})")
            if not self._start_again(server, backoff, time.monotonic() - since):
                return

    def _start_again(self, server: Server, backoff: Backoff, lifetime: float) -> bool:
        """False when everything is being stopped."""
        delay = backoff.after(lifetime)
        while not self._stopping.wait(delay):
            try:
                server.start()
            except (StackError, OSError) as error:
                delay = backoff.after(0)
                if not self._stopping.is_set():
                    self._say(f"{server.name} does not start, trying again in {delay:.1f} s: {error}")
            else:
                self._changed()
                self._say(f"{server.name} is back (pid {' '.join(map(str, server.pids))})")
                return True
        return False


def ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    return f"was ended by {signal.Signals(-code).name}"
