"""The faults of a run: kind, target, time and duration, all derived from the seed."""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass

PROCESSES = ("worker", "worker-2", "orders", "orders-2", "users", "users-2", "gateway", "gateway-2")
SERVERS = ("postgres", "rabbitmq", "redis", "smtp")
PAUSE_S = 2.5
"""The mean time between the starts of two faults, which may overlap."""

LEAD_S = 0.8


@dataclass(frozen=True)
class Kind:
    """`verb` is a method of the injector; `lasts` has the bounds of the duration in seconds."""

    verb: str
    targets: tuple[str, ...]
    lasts: tuple[float, float]
    cards: int = 1


KINDS = (
    Kind("kill", PROCESSES, (0, 0), cards=3),
    Kind("roll", PROCESSES, (0, 0)),
    Kind("freeze", PROCESSES, (0.5, 8)),
    Kind("crash", SERVERS, (0, 5), cards=2),
    Kind("suspend", SERVERS, (0.5, 6)),
    Kind("cut", SERVERS, (0, 5)),
    Kind("silence", SERVERS, (0.5, 12)),
    Kind("hold", SERVERS, (0.5, 12)),
    Kind("slow", SERVERS, (2, 10)),
    Kind("forget", SERVERS, (0, 0)),
    Kind("disconnect", ("rabbitmq",), (0, 0), cards=2),
)


@dataclass(frozen=True)
class Fault:
    """`lead` is the time between a burst of orders and the fault."""

    at: float
    verb: str
    target: str
    lasts: float
    lead: float = 0.0

    def __str__(self) -> str:
        return f"{self.verb} {self.target}" + (f" for {self.lasts:.1f} s" if self.lasts else "")


def plan(seed: int, seconds: float, only: Collection[str] = ()) -> list[Fault]:
    """Return the faults, which are the same for the same seed. A longer plan starts like a shorter one. `only` selects
    verbs."""
    chance = random.Random(seed)
    faults, at = [], 1.0
    for kind, target in _dealt(chance, only):
        if at >= seconds:
            break
        lasts = chance.uniform(*kind.lasts)
        lead = chance.uniform(0, LEAD_S)
        faults.append(Fault(round(at, 2), kind.verb, target, round(lasts, 2), round(lead, 2)))
        at += chance.expovariate(1 / PAUSE_S)
    return faults


def _dealt(chance: random.Random, only: Collection[str]) -> Iterator[tuple[Kind, str]]:
    """Yield faults from a reshuffled deck, so that every fault occurs before one is repeated too often."""
    while True:
        kinds = [kind for kind in KINDS if not only or kind.verb in only]
        deck = [(kind, target) for kind in kinds for target in kind.targets for _ in range(kind.cards)]
        chance.shuffle(deck)
        yield from deck
