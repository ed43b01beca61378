"""What a run needs to know of that which it torments."""

from collections.abc import Sequence
from typing import Protocol

from tools.devstack.system.processes import Identity
from tools.lab.chaos.checks import Check
from tools.lab.chaos.faults import Fault
from tools.lab.chaos.injected import Injected
from tools.lab.chaos.journal import Journal


class System(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def urls(self) -> list[str]:
        """Where clients send their requests."""

    def process(self, label: str) -> Identity | None:
        """The process of that label while it is alive."""

    def suffers(self, fault: Fault) -> bool:
        """Whether there is something in this system that the fault is done to."""

    async def missing(self) -> list[str]:
        """What keeps it from being whole: processes that are not ready, queues without their consumers."""

    async def unfinished(self) -> list[str]:
        """What keeps it from being at rest: work that is still to be done."""

    def checks(self, journal: Journal, injected: Sequence[Injected]) -> list[Check]:
        """Of what it has come to rest at."""
