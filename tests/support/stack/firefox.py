"""`python -m tests.support.stack.firefox PROGRAM ARGUMENTS`: an ordinary Firefox that Playwright can drive.

Playwright speaks WebDriver BiDi with it, https://w3c.github.io/webdriver-bidi/, and sends commands that only a newer
Firefox knows. Those for emulation have no effect here, instead of an error.
"""

import asyncio
import json
import re
import sys
from functools import partial

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

LISTENS = re.compile(rb"WebDriver BiDi listening on (ws://\S+)")
EMULATION = "emulation."
UNKNOWN = "unknown command"


async def main(*command: str) -> int:
    """Run Firefox, and tell where it listens: at a relay in front of it."""
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr
    async for line in process.stderr:
        if found := LISTENS.search(line):
            relay = await serve(partial(_relay, found[1].decode()), "127.0.0.1", 0, max_size=None, compression=None)
            port = next(iter(relay.sockets)).getsockname()[1]
            line = b"WebDriver BiDi listening on ws://127.0.0.1:%d\n" % port
        sys.stderr.buffer.write(line)
        sys.stderr.flush()
    return await process.wait()


async def _relay(url: str, driver: ServerConnection) -> None:
    """Pass all messages on, until one of the two closes its connection."""
    assert driver.request
    async with connect(url + driver.request.path, max_size=None, compression=None, proxy=None) as firefox:
        sent: set[int] = set()
        ways = [
            asyncio.create_task(_commands(driver, firefox, sent)),
            asyncio.create_task(_answers(firefox, driver, sent)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()


async def _commands(driver: ServerConnection, firefox: ClientConnection, sent: set[int]) -> None:
    """`sent` gets the numbers of the commands for emulation."""
    async for text in driver:
        command = json.loads(text)
        if command["method"].startswith(EMULATION):
            sent.add(command["id"])
        await firefox.send(text)


async def _answers(firefox: ClientConnection, driver: ServerConnection, sent: set[int]) -> None:
    async for text in firefox:
        shown = str(text)
        if UNKNOWN in shown and (answer := json.loads(shown)).get("error") == UNKNOWN and answer["id"] in sent:
            shown = json.dumps({"type": "success", "id": answer["id"], "result": {}})
        try:
            await driver.send(shown)
        except ConnectionClosed:
            return


if __name__ == "__main__":
    sys.exit(asyncio.run(main(*sys.argv[1:])))
