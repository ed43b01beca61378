"""How a process connects to RabbitMQ."""

from aio_pika.exceptions import AMQPError
from yarl import URL

LOST = (AMQPError, RuntimeError, OSError, TimeoutError, StopAsyncIteration)
"""What a connection that is lost, or cannot be made, raises. RuntimeError is what aiormq and aio-pika raise of anything
that has been closed, StopAsyncIteration what aiormq lets through when the broker hangs up before it has greeted."""
HEARTBEAT_S = 10
"""Who is gone without a word is missed after two or three of these: only then does the broker hand the messages that
it had in hand to another. By default it is a minute."""


def with_heartbeat(url: str) -> URL:
    """The same URL, with the heartbeat unless it has one of its own."""
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=HEARTBEAT_S)
