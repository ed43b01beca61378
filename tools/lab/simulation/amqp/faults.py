"""The faults of a model broker that the seed chooses."""

from dataclasses import dataclass, fields


@dataclass
class BrokerFaults:
    """Probabilities, each for one event; none happens unless given. They may be changed at any time.

    What happens at a chosen moment is a method of `RabbitModel`: `cut_all`, `block`, `delete_queue` and so on.
    """

    cut: float = 0.0
    """Of each frame that the broker receives: the connection is lost before it is processed."""
    settlement_lost: float = 0.0
    """Of each acknowledgement or rejection: the connection is lost before it is processed, so messages come again."""
    confirm_lost: float = 0.0
    """Of each confirmed publish: the message is stored, and the connection is lost before its confirm."""
    confirm_late: float = 0.0
    """Of each confirm: it comes later, by up to `confirm_late_s`."""
    confirm_late_s: float = 5.0
    nack: float = 0.0
    """Of each confirmed publish that is routed: the broker refuses it; some of its queues may have it all the same."""
    channel_closed: float = 0.0
    """Of each method other than a publish: the broker closes the channel, as it does for a queue without a leader."""
    consumer_cancelled: float = 0.0
    """Of each acknowledgement: the broker cancels the consumers of its queue."""

    garbled: float = 0.0
    """Of each message in an exclusive queue, as gateways have them: it arrives as one that they cannot read."""

    def stop(self) -> None:
        """Set all probabilities to 0."""
        for one in fields(self):
            if one.name != "confirm_late_s":
                setattr(self, one.name, 0.0)
