"""What RabbitMQ says of a message that it has given up."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.worker.ledger.job import Job

UNKNOWN = "unknown"
REASONS = ("delivery_limit", "rejected", "expired", "maxlen")
QUEUE_PREFIX = "worker."


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """`job` is the one whose queue the message died in, or `unknown`: so are reasons that we do not know."""

    job: str
    reason: str
    ends_with_user: bool

    @classmethod
    def read(cls, headers: Mapping[str, Any], jobs: Mapping[str, Job]) -> "DeadLetter":
        """From `x-death`, newest first, else from the headers that keep the first death."""
        deaths = headers.get("x-death")
        newest = deaths[0] if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict) else {}
        queue = newest.get("queue", headers.get("x-first-death-queue"))
        reason = newest.get("reason", headers.get("x-first-death-reason"))
        job = jobs.get(str(queue).removeprefix(QUEUE_PREFIX))
        return cls(
            job.name if job else UNKNOWN,
            str(reason) if reason in REASONS else UNKNOWN,
            job.policy.ends_with_user if job else True,
        )

    @property
    def error_group(self) -> str:
        return f"broker: {self.reason}"

    @property
    def description(self) -> str:
        return f"RabbitMQ gave the message up: {self.reason.replace('_', ' ')}"
