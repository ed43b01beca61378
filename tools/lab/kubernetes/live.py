"""Checks a dashboard on a cluster: the README's example, then requests while a command replaces its processes.

    python -m tools.lab.kubernetes.live http://dashboard.localhost:8080 --mail http://127.0.0.1:8025 -- COMMAND

`--mail` is the API of the mail catcher. The exit status is 1 if a line of the example, the command or a request fails.
"""

import argparse
import asyncio
import os
import re
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import uuid4

import httpx

ROOT = Path(__file__).parents[3]
PASSWORD = "correct horse battery"
TIMEOUT_S = 30
PAUSE_S = 0.1
LINK = re.compile(r"https?://\S+#/\S+")


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("base", help="the address of the ingress, or `mail` as the README's example calls it")
    parser.add_argument("--mail", help="the address of the mail catcher's API")
    parser.add_argument("--to", help="with `mail`: the recipient")
    parser.add_argument("--wait", type=float, default=60, help="with `mail`: how long to wait for it, in seconds")
    parser.add_argument("--links", action="store_true", help="with `mail`: always so")
    before, command = split(sys.argv[1:])
    told = parser.parse_args(before)
    if told.base == "mail":
        sys.stdout.write("\n".join(links(told.mail, told.to, told.wait)) + "\n")
        return
    run_example(told.base, told.mail)
    counts = asyncio.run(under_load(told.base, told.mail, command))
    sys.stdout.write("".join(f"{count:6} {outcome}\n" for outcome, count in sorted(counts.items())))
    sys.exit(any(is_failure(outcome) for outcome in counts) or not counts["dashboard 200"])


def split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Return the arguments before `--`, and the command after it."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:end], arguments[end + 1 :]


def run_example(base: str, mail: str) -> None:
    """Run the README's example, which reads its mail with `live mail`; raise CalledProcessError if a line fails."""
    [script] = re.findall(r"```sh\n(BASE=.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "dashboard"
        own = shlex.join([sys.executable, "-m", __spec__.name if __spec__ else "", "--mail", mail])
        file.write_text(f'#!/bin/sh\nexec {own} "$@"\n')
        file.chmod(0o755)
        variables = {"BASE": base, "DASHBOARD": str(file)}
        subprocess.run(["bash", "-euo", "pipefail", "-c", script], env=os.environ | variables, cwd=ROOT, check=True)


def links(mail: str, to: str, wait_s: float) -> list[str]:
    """Return the links in the newest mail to the address, once there is one; raise TimeoutError if none arrives."""
    end = time.monotonic() + wait_s
    while time.monotonic() < end:
        found = httpx.get(f"{mail}/api/v1/search", params={"query": f"to:{to}"}, timeout=TIMEOUT_S).json()["messages"]
        if found:
            newest = max(found, key=lambda message: message["Created"])
            message = httpx.get(f"{mail}/api/v1/message/{newest['ID']}", timeout=TIMEOUT_S).json()
            return LINK.findall(message["Text"])
        time.sleep(0.5)
    raise TimeoutError(f"no mail to {to} within {wait_s:g} s")


async def under_load(base: str, mail: str, command: list[str]) -> Counter[str]:
    """Place orders and read dashboards while the command runs; return how often each outcome occurred."""
    counts: Counter[str] = Counter()
    # A new connection for each request, so that none depends on a pod that stops.
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=base, timeout=TIMEOUT_S, limits=limits) as client:
        headers = {"Authorization": f"Bearer {await signed_in(client, mail)}"}
        process = await asyncio.create_subprocess_exec(*command)
        while process.returncode is None:
            counts[await outcome(client, "dashboard", "GET", "/v1/dashboard", headers)] += 1
            key = {"Idempotency-Key": uuid4().hex}
            counts[await outcome(client, "order", "POST", "/v1/orders", headers | key, ORDER)] += 1
            await asyncio.sleep(PAUSE_S)
    counts[f"command {process.returncode}"] += 1
    return counts


ORDER = {"currency": "EUR", "items": [{"sku": "tea", "name": "Green tea", "quantity": 1, "unit_price": 1250}]}


async def signed_in(client: httpx.AsyncClient, mail: str) -> str:
    """Return the access token of a new account with a verified address."""
    email = f"load-{uuid4().hex}@example.com"
    account = {"email": email, "name": "Load", "password": PASSWORD}
    (await client.post("/v1/users", json=account)).raise_for_status()
    [link, *_] = await asyncio.to_thread(links, mail, email, 60)
    token = link.rpartition("=")[2]
    (await client.post("/v1/email-verifications", json={"token": token})).raise_for_status()
    answer = await client.post("/v1/tokens", data={"username": email, "password": PASSWORD})
    return str(answer.raise_for_status().json()["access_token"])


async def outcome(
    client: httpx.AsyncClient, what: str, method: str, path: str, headers: dict[str, str], body: object = None
) -> str:
    """Return the name of the request and its status, or the name of the error of its connection."""
    try:
        answer = await client.request(method, path, headers=headers, json=body)
    except httpx.TransportError as failed:
        return f"{what} {type(failed).__name__}"
    return f"{what} {answer.status_code}"


def is_failure(told: str) -> bool:
    """Return whether an outcome counts as failed; a request that is rejected for its rate does not."""
    return told not in ("dashboard 200", "order 201", "order 200", "command 0", "dashboard 429", "order 429")


if __name__ == "__main__":
    main()
