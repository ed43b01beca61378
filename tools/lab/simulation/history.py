"""What happened in a simulation, in the order in which it happened."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

_ADDRESS = re.compile(r"\b0x[0-9a-f]+")


def conceal(text: str) -> str:
    """Return the text without addresses of objects, which differ between two runs."""
    return _ADDRESS.sub("0x", text)


@dataclass(frozen=True, slots=True)
class Entry:
    """`at` is virtual seconds since the start; `process` is where it happened."""

    at: float
    process: str
    kind: str
    facts: dict[str, Any]

    def __str__(self) -> str:
        facts = "  ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{self.at:11.6f}  {self.process:<10} {self.kind:<18} {facts}".rstrip()


@dataclass
class History:
    """`began` is the loop's time at the start."""

    began: float = 0.0
    entries: list[Entry] = field(default_factory=list)

    def add(self, now: float, process: str, kind: str, /, **facts: Any) -> Entry:
        entry = Entry(now - self.began, process, kind, facts)
        self.entries.append(entry)
        return entry

    def of(self, *kinds: str) -> Iterator[Entry]:
        """Return the entries of these kinds, in order."""
        return (entry for entry in self.entries if entry.kind in kinds)

    def digest(self) -> str:
        """Return a hash of all entries: two runs with the same seed have the same."""
        return hashlib.sha256("\n".join(map(str, self.entries)).encode()).hexdigest()
