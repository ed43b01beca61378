"""The interface of a system under test."""

from collections.abc import Mapping, Sequence
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
        """The addresses for clients."""

    @property
    def databases(self) -> Mapping[str, str]:
        """The URLs for direct connections as the superuser, by service; none if the system has no durable tasks."""

    def process(self, label: str) -> Identity | None:
        """Return the process with this label while it is alive."""

    def suffers(self, fault: Fault) -> bool:
        """Return whether the system has the target of the fault."""

    async def missing(self) -> list[str]:
        """Return the missing parts: processes that are not ready, queues without consumers."""

    async def unfinished(self) -> list[str]:
        """Return the unfinished work."""

    def checks(self, journal: Journal, injected: Sequence[Injected]) -> list[Check]:
        """Return the checks of the final state."""

    def figures(self, journal: Journal) -> dict[str, str]:
        """Return other figures of the final state for the report, by name."""
