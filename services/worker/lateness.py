"""Whether an event has come too late for its job."""

from datetime import datetime, timedelta

from services.worker.errors import Expired, Unremembered
from services.worker.job import Policy
from shared.events import Envelope


def age_s(envelope: Envelope, now: datetime) -> float:
    """Never below zero: clocks of two databases may differ. The time of an event is its row's in the outbox."""
    return max((now - envelope.time).total_seconds(), 0.0)


def refuse_expired(policy: Policy, envelope: Envelope, now: datetime) -> None:
    """Raises `Expired`."""
    age = age_s(envelope, now)
    if policy.deadline_s is not None and age > policy.deadline_s:
        raise Expired(f"{_said(age)} old, worth doing for {_said(policy.deadline_s)}")


def refuse_unremembered(keep_done_s: float, envelope: Envelope, now: datetime) -> None:
    """Raises `Unremembered`. For an event that the ledger has no row of."""
    age = age_s(envelope, now)
    if age > keep_done_s:
        raise Unremembered(f"{_said(age)} old, and the ledger remembers {_said(keep_done_s)}")


def _said(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
