"""The record of an injected fault."""

from dataclasses import dataclass

from tools.lab.chaos.faults import Fault

NOT_YET = float("inf")


@dataclass
class Injected:
    """A fault with its start and end in seconds since the epoch."""

    fault: Fault
    began: float
    ended: float = NOT_YET
