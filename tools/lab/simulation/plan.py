"""What a simulation does: a list of steps, each at its time. A seed makes it, and shrinking makes it shorter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

WORKERS, GATEWAYS = ("worker-1", "worker-2"), ("gateway-1", "gateway-2")
SERVERS = ("rabbitmq", "redis", "smtp")
JOBS = ("analytics", "email", "notifications", "recipients", "simulated", "simulated-tick")
"""The jobs that the workers run."""

ACTIVE_S = 45.0
"""Steps happen within this time; then all faults end."""
USERS = 3
SERVICES = ("orders", *WORKERS, *GATEWAYS)
PANEL_SETS = (
    ("orders",),
    ("orders", "analytics"),
    ("orders", "notifications", "analytics"),
    ("notifications", "analytics"),
)
BUDGETS_MS = (12, 40, 150, 500, 1000, 1000)
KEYS = ("a", "b")
FAULTS = (
    "kill",
    "kill many",
    "freeze",
    "cut",
    "partition",
    "slow network",
    "statements",
    "postgres breaks",
    "broker",
    "broker restart",
    "broker blocks",
    "queue deleted",
    "consumers cancelled",
    "redis",
    "mail",
    "clock",
    "unreadable change",
)
OF_DASHBOARDS = (
    "freeze",
    "partition",
    "slow network",
    "garbled changes",
    "unreadable change",
    "redis",
)
"""The faults of worlds that are about dashboards."""
DASHBOARDS_EVERY = 3
"""Of so many worlds, one is about dashboards. Readers in the others seldom meet a service that is slow or silent."""
TROUBLE_S = (3.0, 18.0)
"""How long a trouble of dashboards lasts: at most so long that a breaker opens and its service is probed."""
READS_PER_S = 5
"""How often dashboards are read during a trouble."""
STATEMENTS = ("lost before", "fails", "lost after", "slow")
MAIL_FAULTS = ("defers", "closes_before", "closes_after", "hangs")
BROKER_FAULTS = {
    "cut": 0.01,
    "settlement_lost": 0.1,
    "confirm_lost": 0.2,
    "confirm_late": 0.3,
    "nack": 0.2,
    "channel_closed": 0.01,
    "consumer_cancelled": 0.02,
}
"""The highest probability of each."""
LOUD = 4
"""A run has this many kinds of faults at most. With all of them at once little work gets done between two faults."""


@dataclass(frozen=True, slots=True)
class Step:
    """`at` is in seconds after the start. `facts` say what is done."""

    at: float
    kind: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def is_fault(self) -> bool:
        return self.kind in FAULTS or self.kind in OF_DASHBOARDS

    def __str__(self) -> str:
        facts = " ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{self.at:8.3f} s  {self.kind} {facts}".rstrip()


def make(seed: int) -> list[Step]:
    """Return the steps of a seed, in order."""
    random = Random(f"plan {seed}")
    if seed % DASHBOARDS_EVERY == 0:
        return sorted(_about_dashboards(random), key=lambda step: step.at)
    steps = [_operation(random) for _ in range(random.randint(20, 50))]
    steps += _readers(random)
    kinds = random.sample(FAULTS, random.randint(1, LOUD))
    steps += [_fault(random, random.choice(kinds)) for _ in range(random.randint(2, 12))]
    return sorted(steps, key=lambda step: step.at)


def _operation(random: Random) -> Step:
    at = random.uniform(0, ACTIVE_S)
    kind = random.choices(("order", "pay", "task", "keyed task", "run schedule", "pause"), (40, 12, 25, 15, 6, 2))[0]
    facts: dict[str, Any] = {}
    match kind:
        case "order" | "pay":
            facts = {"user": random.randrange(USERS), "number": random.randrange(1_000_000)}
        case "task":
            facts = {"fails": random.choice((0, 0, 0, 1, 2)), "delay_s": random.choice((0, 0, 0, 0.5, 5))}
        case "keyed task":
            facts = {"key": random.choice(KEYS), "delay_s": random.choice((0, 0, 1))}
        case "run schedule":
            facts = {"worker": random.choice(WORKERS)}
        case "pause":
            facts = {"job": random.choice(("simulated", "simulated-tick")), "for_s": random.uniform(1, 90)}
    return Step(at, kind, facts)


def _readers(random: Random) -> list[Step]:
    """Return reads of dashboards: bursts of a user's, most of them while an order is placed, and some afterwards."""
    steps = []
    for _ in range(random.randint(4, 14)):
        at, user, gateway = random.uniform(0, ACTIVE_S), random.randrange(USERS), random.choice(GATEWAYS)
        during = [random.uniform(-0.005, 0.04) for _ in range(random.randint(1, 8))]
        after = [random.uniform(0.1, 3) for _ in range(random.randint(1, 4))]
        steps += [_read(random, at + later, gateway, user, 0.05) for later in (*during, *after)]
        if random.random() < 0.8:
            steps.append(Step(at, "order", {"user": user, "number": random.randrange(1_000_000)}))
    return steps


def _read(random: Random, at: float, gateway: str, user: int, no_cache: float) -> Step:
    facts = {
        "gateway": gateway if random.random() < 0.8 else random.choice(GATEWAYS),
        "user": user,
        "budget_ms": random.choice(BUDGETS_MS),
        "panels": random.choice(PANEL_SETS),
        "no_cache": random.random() < no_cache,
    }
    return Step(max(0.0, at), "read", facts)


def _about_dashboards(random: Random) -> list[Step]:
    """Return a plan with few changes and many readers, most of them while something is slow, silent or unreadable."""
    steps = _readers(random)
    for _ in range(random.randint(2, 3)):
        at, for_s = random.uniform(0, ACTIVE_S - TROUBLE_S[0]), random.uniform(*TROUBLE_S)
        gateway, user, no_cache = random.choice(GATEWAYS), random.randrange(USERS), random.choice((0.0, 0.5))
        steps += [_trouble(random, kind, at, for_s) for kind in random.sample(OF_DASHBOARDS, random.randint(1, 2))]
        steps += [
            _read(random, at + random.uniform(-0.5, for_s), gateway, user, no_cache)
            for _ in range(int(for_s * READS_PER_S))
        ]
        steps += [
            Step(at + random.uniform(0, for_s), "order", {"user": user, "number": random.randrange(1_000_000)})
            for _ in range(random.randint(0, 6))
        ]
    return [step for step in steps if step.at < ACTIVE_S]


def _trouble(random: Random, kind: str, at: float, for_s: float) -> Step:
    """Return a fault that readers notice."""
    process = random.choice(SERVICES)
    facts: dict[str, dict[str, Any]] = {
        "freeze": {"process": process, "for_s": for_s},
        "partition": {
            "one": random.choice(GATEWAYS),
            "other": random.choice(("orders", *WORKERS, "redis")),
            "for_s": for_s,
        },
        "slow network": {"factor": random.choice((5, 20, 100)), "for_s": for_s},
        "garbled changes": {"share": random.choice((0.3, 1.0)), "for_s": for_s},
        "unreadable change": {},
        "redis": {"how": random.choice(("restart", "freeze", "lose everything")), "for_s": for_s},
    }
    return Step(at, kind, facts[kind])


def _fault(random: Random, kind: str) -> Step:
    at = random.uniform(0, ACTIVE_S)
    process, for_s = random.choice(SERVICES), random.uniform(0.2, 15)
    down_s = random.choice((0.05, 0.5, 3, 20))
    other = random.choice(("rabbitmq", "redis", "orders", *WORKERS))
    job = random.choice([name for name in JOBS if name != "simulated-tick"])
    facts: dict[str, dict[str, Any]] = {
        "kill": {"process": process, "steps": random.randrange(200), "down_s": down_s},
        "kill many": {"processes": random.sample(SERVICES, random.randint(2, 5)), "steps": 0, "down_s": down_s},
        "freeze": {"process": process, "for_s": for_s},
        "cut": {"process": process, "times": random.randint(1, 4)},
        "partition": {"one": process, "other": other, "for_s": for_s},
        "slow network": {"factor": random.choice((5, 20, 100)), "for_s": for_s},
        "statements": {"fates": _some(random, STATEMENTS, random.choice((0.01, 0.05, 0.2))), "for_s": for_s},
        "postgres breaks": {"away_s": random.choice((0, 1, 10))},
        "broker": {"faults": _broker_faults(random), "for_s": for_s},
        "broker restart": {"down_s": random.choice((0, 0.5, 5))},
        "broker blocks": {"for_s": for_s},
        "queue deleted": {"job": job},
        "consumers cancelled": {"job": job},
        "redis": {"how": random.choice(("restart", "freeze", "lose everything")), "for_s": for_s},
        "mail": {"faults": _some(random, MAIL_FAULTS, 0.1), "for_s": for_s},
        "clock": {"process": process, "skew_s": random.uniform(-20, 20)},
        "unreadable change": {},
    }
    return Step(at, kind, facts[kind])


def _some(random: Random, names: Sequence[str], share: float) -> dict[str, float]:
    return {name: share for name in names if random.random() < 0.5}


def _broker_faults(random: Random) -> dict[str, float]:
    return {name: round(random.uniform(0, most), 4) for name, most in BROKER_FAULTS.items() if random.random() < 0.4}
