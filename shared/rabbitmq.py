"""How a process connects to RabbitMQ."""

import random
import re
from itertools import cycle

from aio_pika.exceptions import AMQPError
from yarl import URL

LOST = (AMQPError, RuntimeError, OSError, TimeoutError, StopAsyncIteration)
"""What a connection that is lost, or cannot be made, raises. RuntimeError is what aiormq and aio-pika raise of anything
that has been closed, StopAsyncIteration what aiormq lets through when the broker hangs up before it has greeted."""
HEARTBEAT_S = 10
"""Who is gone without a word is missed after two or three of these: only then does the broker hand the messages that
it had in hand to another. By default it is a minute."""
BETWEEN_URLS = re.compile(r",\s*(?=amqps?://)")  # a password may contain a comma


class Nodes:
    """The nodes of one RabbitMQ, each with a URL of its own, separated by commas. Any of them will do.

    Every attempt to connect takes the next: what finds a node away comes to another when it tries again. Each process
    begins somewhere else, so that they do not all meet at one node.
    """

    def __init__(self, urls: str) -> None:
        self.urls = [with_heartbeat(url) for url in BETWEEN_URLS.split(urls)]
        random.shuffle(self.urls)
        self._turn = cycle(self.urls)

    def next(self) -> URL:
        return next(self._turn)


def with_heartbeat(url: str) -> URL:
    """The same URL, with the heartbeat unless it has one of its own."""
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=HEARTBEAT_S)
