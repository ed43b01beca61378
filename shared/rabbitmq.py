"""Connections to RabbitMQ."""

import random
import re
from itertools import cycle

from aio_pika.exceptions import AMQPError
from yarl import URL

LOST = (AMQPError, RuntimeError, OSError, TimeoutError, StopAsyncIteration)
"""Errors of a connection that is lost or cannot be made. aiormq and aio-pika raise RuntimeError for anything that has
been closed; aiormq leaks StopAsyncIteration if the broker closes the connection before its greeting."""
HEARTBEAT_S = 10
"""A silently lost peer is detected after two or three heartbeats; only then does the broker redeliver its in-flight
messages. RabbitMQ's default is a minute."""
BETWEEN_URLS = re.compile(r",\s*(?=amqps?://)")  # a password may contain a comma


class Nodes:
    """The nodes of one RabbitMQ cluster, as comma-separated URLs.

    Every connection attempt uses the next one, so a retry after a failed node reaches another. Each process starts at a
    different node, so that they do not all connect to the same one.
    """

    def __init__(self, urls: str) -> None:
        self.urls = [with_heartbeat(url) for url in BETWEEN_URLS.split(urls)]
        random.shuffle(self.urls)
        self._turn = cycle(self.urls)

    def next(self) -> URL:
        return next(self._turn)


def with_heartbeat(url: str) -> URL:
    """Return the URL, with the heartbeat unless it has its own."""
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=HEARTBEAT_S)
