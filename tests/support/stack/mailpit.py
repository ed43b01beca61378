"""The links in the mails that the mail catcher of docker compose has: `python -m tests.support.stack.mailpit mail --to
ADDRESS --links --wait SECONDS`, which stands for `dashboard mail` in the README's example."""

import argparse
import json
import re
import subprocess
import sys
from typing import Any

from tests.support.waiting import wait_until

API = "http://127.0.0.1:8025/api/v1"
LINK = re.compile(r"https?://\S+/#/\w+\?token=[\w-]+")


def ask(path: str) -> Any:
    """Return a resource of the catcher, which publishes no port."""
    command = ["docker", "compose", "exec", "-T", "mail", "wget", "-qO-", f"{API}/{path}"]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def links_to(address: str) -> list[str]:
    """Return the links in the mails to an address, oldest first."""
    mails = [mail for mail in ask("messages")["messages"] if mail["To"][0]["Address"] == address]
    texts = (ask(f"message/{mail['ID']}")["Text"] for mail in reversed(mails))
    return [link for text in texts for link in LINK.findall(text)]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["mail"])
    parser.add_argument("--to", required=True)
    parser.add_argument("--links", action="store_true", required=True)
    parser.add_argument("--wait", type=float, required=True)
    arguments = parser.parse_args()
    found: list[str] = []

    def arrived() -> bool:
        found[:] = links_to(arguments.to)
        return bool(found)

    wait_until(arrived, arguments.wait)
    sys.stdout.writelines(f"{link}\n" for link in found)


if __name__ == "__main__":
    main()
