"""Raw requests, valid and invalid, through nginx with the configuration of docker compose."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from tests.support.gateway.world import World
from tests.support.http_corpus import LAST, Case, pipelines, singles
from tests.support.http_sockets import heard
from tests.support.served import listening
from tests.support.waiting import eventually
from tests.support.wire import statuses
from tools.devstack.system.ports import accepts, free_port
from tools.devstack.system.processes import Processes

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
CONFIGURATION = Path(__file__).parents[3] / "deploy" / "compose" / "front" / "nginx.conf"

pytestmark = [pytest.mark.full, pytest.mark.skipif(NGINX is None, reason="nginx is not installed")]


@asynccontextmanager
async def nginx(gateway: int, folder: Path) -> AsyncIterator[int]:
    """Run nginx in front of the gateway on this port, and yield its port."""
    port = free_port()
    text = CONFIGURATION.read_text()
    for there, here in {
        "/tmp/": f"{folder}/",
        "/dev/stderr": f"{folder}/error.log",
        "listen 8000": f"listen 127.0.0.1:{port}",
        "http://gateways:8000": f"http://127.0.0.1:{gateway}",
    }.items():
        assert there in text
        text = text.replace(there, here)
    (folder / "nginx.conf").write_text(text)
    processes = Processes()
    argv = [str(NGINX), "-c", str(folder / "nginx.conf"), "-e", str(folder / "error.log"), "-g", "daemon off;"]
    processes.spawn("nginx", argv, log=folder / "nginx.log")
    try:
        await eventually(lambda: accepts(port))
        yield port
    finally:
        processes.close(3)


def contradiction(case: Case, said: bytes) -> str:
    """Return the error in the responses to it, if any. nginx rewrites requests: it accepts some that the gateway would
    refuse, refuses some that the gateway would accept, and keeps some connections that the gateway would close."""
    answers, requests = statuses(said), len(case.name.split(" | ")) + 1
    if not said or len(answers) > requests:
        return f"{case.name}: {len(answers)} answers to {requests} requests"
    for answer, right in zip(answers, case.answers, strict=False):
        if answer != right:
            return f"{case.name}: {answers}, not {case.answers}" if answer < 400 and right < 400 else ""
    return ""


async def test_every_request_has_one_answer(world: World, tmp_path: Path) -> None:
    """No body is read as a request, and no client receives the response to another request."""
    targets: list[bytes] = []

    async def seen(scope: Scope, receive: Receive, send: Send) -> None:
        targets.append(scope["raw_path"] + b"?" + scope["query_string"])
        await world.app(scope, receive, send)

    cases = [*singles(), *pipelines()[::11]]
    async with listening(seen) as gateway, nginx(gateway, tmp_path) as port:
        answers = {case.name: await heard(port, case.raw + LAST) for case in cases}
    assert [wrong for case in cases if (wrong := contradiction(case, answers[case.name]))] == []
    assert [target for target in targets if b"smuggled" in target] == []
    assert len(targets) >= len(cases) / 2
