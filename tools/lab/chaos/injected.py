"""What took place."""

from dataclasses import dataclass

from tools.lab.chaos.faults import Fault

NOT_YET = float("inf")


@dataclass
class Injected:
    """A fault, and from when to when it lasted in seconds since the epoch."""

    fault: Fault
    began: float
    ended: float = NOT_YET
