"""Firefox, driven by WebDriver BiDi, which it speaks itself: Playwright drives only a Firefox of its own.

https://w3c.github.io/webdriver-bidi/
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.support.stack.running import PATIENCE_S
from tests.support.waiting import eventually

NAMES = ("firefox-esr", "firefox")
SNAP = Path("/snap/bin/firefox")
ADDRESS = "WebDriverBiDiServer.json"
"""Firefox writes where it listens to this file in its profile."""
AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
TAB, ENTER = "\ue004", "\ue007"
QUIET = {"browser.shell.checkDefaultBrowser": False, "datareporting.policy.dataSubmissionEnabled": False}
"""Preferences: nothing asks a person, or calls home."""


def executable() -> str | None:
    """Return the path of a Firefox that is not a snap, which could not read the profile."""
    if SNAP.exists():
        return None
    return next((path for path in map(shutil.which, NAMES) if path), None)


needs_firefox = pytest.mark.skipif(executable() is None, reason="no Firefox; `make full` installs it where it may")


class Refused(Exception):
    """Firefox has answered a command with an error."""


class Tab:
    """One tab. Elements are found by role and accessible name, or by CSS; each method waits until there is one."""

    def __init__(self, firefox: "Firefox", context: str) -> None:
        self._firefox = firefox
        self._context = context

    async def goes_to(self, url: str) -> None:
        await self._send("browsingContext.navigate", url=url, wait="complete")

    async def is_looked_at(self) -> None:
        """Show it instead of the other tabs, which are hidden."""
        await self._send("browsingContext.activate")

    async def evaluates(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, which is JSON, or of the promise that it is."""
        told = await self._send(
            "script.evaluate",
            expression=f"(async () => JSON.stringify((await ({expression})) ?? null))()",
            target={"context": self._context},
            awaitPromise=True,
        )
        if told["type"] != "success":
            raise Refused(told["exceptionDetails"]["text"])
        return json.loads(told["result"]["value"])

    async def shows(self, selector: str, text: str = "") -> None:
        """Wait until an element that matches the selector contains the text."""
        found = (
            f"[...document.querySelectorAll({json.dumps(selector)})].some("
            f"(one) => one.textContent.includes({json.dumps(text)}) && one.checkVisibility())"
        )
        await eventually(lambda: self.evaluates(found), PATIENCE_S)

    async def clicks(self, role: str, name: str) -> None:
        origin = {"type": "element", "element": await self._find(role, name)}
        move = {"type": "pointerMove", "x": 0, "y": 0, "origin": origin}
        presses: list[dict[str, Any]] = [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        await self._acts("pointer", [move, *presses])

    async def enters(self, name: str, text: str) -> None:
        """Type into the text field with this label."""
        await self.clicks("textbox", name)
        await self.types(text)

    async def types(self, text: str) -> None:
        await self._acts("key", [{"type": kind, "value": letter} for letter in text for kind in ("keyDown", "keyUp")])

    async def is_accessible(self) -> None:
        """Assert that axe finds no violations."""
        await self.evaluates(f"(() => {{ {AXE} }})()")
        found = await self.evaluates("axe.run().then(({ violations }) => violations)")
        assert not found, [(each["id"], [node["html"][:120] for node in each["nodes"]]) for each in found]

    async def _find(self, role: str, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        async def is_there() -> bool:
            locator = {"type": "accessibility", "value": {"role": role, "name": name}}
            found[:] = (await self._send("browsingContext.locateNodes", locator=locator))["nodes"]
            return bool(found)

        await eventually(is_there, PATIENCE_S)
        reference = {"sharedId": found[0]["sharedId"]}
        await self._send(
            "script.callFunction",
            functionDeclaration="(one) => one.scrollIntoView({ block: 'center', behavior: 'instant' })",
            arguments=[reference],
            target={"context": self._context},
            awaitPromise=False,
        )
        return reference

    async def _acts(self, kind: str, actions: Sequence[dict[str, Any]]) -> None:
        await self._send("input.performActions", actions=[{"type": kind, "id": kind, "actions": list(actions)}])

    async def _send(self, method: str, **params: Any) -> Any:
        if "target" not in params:
            params["context"] = self._context
        return await self._firefox.send(method, **params)


class Firefox:
    """One session. `errors` has the exceptions of scripts in all tabs."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.errors: list[str] = []

    async def listen(self) -> None:
        """Receive answers and events until the connection is closed."""
        async for text in self._connection:
            told = json.loads(text)
            if told["type"] == "event":
                self._hear(told["params"])
            elif (answer := self._answers.pop(told["id"], None)) and not answer.done():
                answer.set_result(told)

    async def send(self, method: str, **params: Any) -> Any:
        """Return the result of a command. Raises `Refused`."""
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._connection.send(json.dumps({"id": number, "method": method, "params": params}))
        async with asyncio.timeout(PATIENCE_S):
            told = await answer
        if told["type"] != "success":
            raise Refused(f"{method}: {told['error']}: {told['message']}")
        return told["result"]

    async def opens(self, url: str) -> Tab:
        made = await self.send("browsingContext.create", type="tab")
        tab = Tab(self, made["context"])
        await tab.goes_to(url)
        return tab

    def _hear(self, params: dict[str, Any]) -> None:
        if params.get("level") == "error":
            self.errors.append(str(params.get("text")))


def _fill(profile: Path) -> None:
    profile.mkdir()
    lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});\n" for name, value in QUIET.items())
    (profile / "user.js").write_text("".join(lines))


@asynccontextmanager
async def launched(profile: Path) -> AsyncIterator[Firefox]:
    """Start a Firefox without windows, with an empty profile."""
    program = executable()
    assert program
    await asyncio.to_thread(_fill, profile)
    command = (program, "--headless", "--no-remote", "--profile", str(profile), "--remote-debugging-port", "0")
    silent = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, stdout=silent, stderr=silent)
    try:
        await eventually((profile / ADDRESS).exists, PATIENCE_S)
        address = json.loads((profile / ADDRESS).read_text())
        url = f"ws://{address['ws_host']}:{address['ws_port']}/session"
        async with connect(url, max_size=None, open_timeout=PATIENCE_S, proxy=None) as connection:
            firefox = Firefox(connection)
            listening = asyncio.create_task(firefox.listen())
            await firefox.send("session.new", capabilities={})
            await firefox.send("session.subscribe", events=["log.entryAdded"])
            yield firefox
            listening.cancel()
    finally:
        process.kill()
        await process.wait()
