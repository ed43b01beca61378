"""How a process connects to RabbitMQ."""

from yarl import URL

HEARTBEAT_S = 10
"""Who is gone without a word is missed after two or three of these: only then does the broker hand the messages that
it had in hand to another. By default it is a minute."""


def with_heartbeat(url: str) -> URL:
    """The same URL, with the heartbeat unless it has one of its own."""
    parsed = URL(url)
    return parsed if "heartbeat" in parsed.query else parsed.update_query(heartbeat=HEARTBEAT_S)
