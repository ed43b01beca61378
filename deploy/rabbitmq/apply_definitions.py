"""Loads definitions.json through RabbitMQ's management API; waits until that answers. Standard library only."""

import base64
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

URL = os.environ["RABBITMQ_MANAGEMENT_URL"].rstrip("/") + "/api/definitions"
FILE = os.environ.get("RABBITMQ_PASSWORD_FILE")
PASSWORD = Path(FILE).read_text().strip() if FILE else os.environ["RABBITMQ_PASSWORD"]
CREDENTIALS = f"{os.environ['RABBITMQ_USER']}:{PASSWORD}"
PATIENCE_S = 120


def main() -> None:
    request = urllib.request.Request(  # noqa: S310  the operator's own URL
        URL,
        data=Path(__file__).with_name("definitions.json").read_bytes(),
        headers={
            "Content-Type": "application/json",
            "Authorization": "Basic " + base64.b64encode(CREDENTIALS.encode()).decode(),
        },
        method="POST",
    )
    until = time.monotonic() + PATIENCE_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10):  # noqa: S310  see above
                return
        except urllib.error.HTTPError as refused:
            sys.exit(f"RabbitMQ refuses the definitions: {refused.code} {refused.read().decode(errors='replace')}")
        except OSError as away:
            if time.monotonic() > until:
                sys.exit(f"RabbitMQ's management API does not answer at {URL}: {away}")
            time.sleep(1)


if __name__ == "__main__":
    main()
