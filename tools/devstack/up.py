"""`dashboard up`: runs the stack in the foreground, until it is told to stop."""

import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType

from tools import demo
from tools.devstack.datadir import DataDir
from tools.devstack.plan import DEFAULT_PORT, choose_port, parse_replicas, plan
from tools.devstack.reload import Reloader
from tools.devstack.service import Commands
from tools.devstack.stack import Settings, Stack
from tools.devstack.system.errors import StackError

LOOK_UP_S = 0.5


@dataclass(frozen=True)
class Options:
    port: int | None = None
    data_dir: Path = Path(".local")
    ephemeral: bool = False
    demo: bool = True
    replicas: list[str] = field(default_factory=list)
    durable: bool = True
    reload: Path | None = None
    """Watch `services` and `shared` in this folder, and restart what changes."""


def up(options: Options, commands: Commands | None = None) -> int:
    """Run the stack until it is stopped; return the exit code."""
    os.umask(0o077)  # files of the servers are private to their user
    try:
        settings = _settings(options, commands or Commands())
    except StackError as error:
        return _fail(str(error))
    try:
        return _run(settings, options.reload)
    finally:
        settings.folder.release()


def _settings(options: Options, commands: Commands) -> Settings:
    try:
        path = Path(tempfile.mkdtemp(prefix="dashboard-")) if options.ephemeral else options.data_dir
    except OSError as error:
        raise StackError(f"no temporary folder could be made: {error}") from error
    folder = DataDir(path)
    folder.take()  # first, so that a second stack reports where the first one is, and not only that its port is taken
    try:
        port = choose_port(options.port)
        planned = plan(port, parse_replicas(options.replicas))
    except StackError:
        folder.release()
        raise
    if options.port is None and port != DEFAULT_PORT:
        say(f"port {DEFAULT_PORT} is taken, using {port}")
    return Settings(folder, planned, options.demo, options.durable, options.ephemeral, commands)


def _run(settings: Settings, code: Path | None) -> int:
    # A SimpleQueue, since a signal handler that sets an Event can wait forever for the Event's own lock.
    news: SimpleQueue[str] = SimpleQueue()
    _on_signals(lambda: news.put("stop"))
    failures: list[BaseException] = []
    progress = Progress(float(os.environ.get("BEGAN") or time.time()))
    stack = Stack(settings, progress)
    reloader = Reloader(stack, code, say) if code else None
    starter = threading.Thread(target=_start, args=(stack, news, failures), daemon=True)
    starter.start()
    told = _next(news)
    if told == "started":
        progress.is_starting = False
        say(ready_text(stack, settings, progress.seconds()))
        if reloader:
            reloader.start()
            say("Services are restarted when their code changes, and open pages reload.")
        told = _next(news)
    if told == "stop":
        say("stopping")
    if reloader:
        reloader.stop()
    stack.stop()
    starter.join(timeout=10)
    return _explain(failures[0], settings.folder) if told == "failed" else 0


def _next(news: SimpleQueue[str]) -> str:
    """Return the next message. Wakes up periodically, because the kernel may deliver two simultaneous signals to
    another thread, which wakes none."""
    while True:
        with suppress(Empty):
            return news.get(timeout=LOOK_UP_S)


def _on_signals(stop: Callable[[], None]) -> None:
    def handler(_number: int, _frame: FrameType | None) -> None:
        stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, handler)


def _start(stack: Stack, news: SimpleQueue[str], failures: list[BaseException]) -> None:
    try:
        stack.start()
    except BaseException as error:
        failures.append(error)
        news.put("failed")
    else:
        news.put("started")


def _explain(error: BaseException, folder: DataDir) -> int:
    if not isinstance(error, StackError | OSError):
        raise error
    if folder.is_full():
        return _fail(f"the disk that holds the data folder {folder.path} is full\n{error}")
    return _fail(str(error))


def _fail(message: str) -> int:
    print(f"dashboard: {message}", file=sys.stderr, flush=True)
    return 1


def say(text: str) -> None:
    print(text, flush=True)


class Progress:
    """Prints what the stack does; while it is starting, with the seconds since `began` (Unix time)."""

    def __init__(self, began: float) -> None:
        self._began = began
        self.is_starting = True

    def __call__(self, text: str) -> None:
        say(f"{self.seconds():4d} s  {text}" if self.is_starting else text)

    def seconds(self) -> int:
        return int(time.time() - self._began)


_DEMO = f"sign in as {demo.USER} or {demo.ADMIN} (administrator), password {demo.PASSWORD}"


def ready_text(stack: Stack, settings: Settings, seconds: int) -> str:
    gateways = [planned.url for planned, _ in stack.services if planned.name == "gateway"]
    lines = ["", f"Dashboard is ready after {seconds} s: {'  '.join(gateways)}"]
    lines += [f"  {_DEMO}"] if stack.seeded else []
    lines += ["", *_processes(stack), ""]
    logs = _short(settings.folder.logs)
    lines += [f"Logs are in {logs}, mails with `dashboard mail{_data_dir(settings)}`. Ctrl-C stops everything."]
    return "\n".join(lines)


def _processes(stack: Stack) -> list[str]:
    rows = [(service.name, service.url, service.pids) for _, service in reversed(stack.services)]
    rows += [(server.name, server.url, list(server.pids)) for server in stack.backing.all]
    return [f"  {name:<10} {_without_password(url):<46} {_pids(pids)}" for name, url, pids in rows]


def _pids(pids: list[int]) -> str:
    return f"pid {' '.join(map(str, pids))}" if pids else "not started here"


def _without_password(url: str) -> str:
    """A private server's guest:guest is not secret; another server's password is."""
    scheme, _, rest = url.partition("://")
    user, at, address = rest.rpartition("@")
    return f"{scheme}://{user.partition(':')[0]}{at}{address}"


def _data_dir(settings: Settings) -> str:
    path = settings.folder.path
    return "" if path == Path(".local").resolve() else f" --data-dir {path}"


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
