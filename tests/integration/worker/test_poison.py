"""Jobs that always fail, and bad events in large batches."""

import math
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from services.worker.settings import Settings
from tests.support.metrics import sample
from tests.support.waiting import eventually
from tests.support.worker.jobs import patch_batch, patch_policy
from tests.support.worker.world import LONG_S, World, created, working


@pytest.fixture
async def impatient(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> AsyncIterator[World]:
    """A worker whose mails are tried at once again."""
    patch_policy(monkeypatch, "email", attempts=4, backoff_base_s=0.01, backoff_cap_s=0.01)
    async with working(settings) as world:
        await world.until_ready()
        yield world


async def test_what_always_fails_is_dead_after_its_attempts(impatient: World) -> None:
    """Exactly as many as configured, with the last error and the message kept; others flow meanwhile."""
    nobody = created(uuid4())
    [bad] = await impatient.publish(nobody)
    user_id = await impatient.known()
    [good] = await impatient.publish(created(user_id))
    await impatient.until(bad, email="dead")
    await impatient.until(good, email="done")
    row = await impatient.job("email", bad)
    assert (row["attempts"], row["next_attempt_at"]) == (4, None)
    assert row["last_error"] == f"RecipientUnknown: {nobody.user_id}"
    assert str(nobody.order_id).encode() in row["payload"]
    labels = {"job": "email", "error_group": row["error_group"]}

    async def counted() -> bool:
        return sample("worker_jobs_dead", labels) == 1

    await eventually(counted, LONG_S)


def folded() -> tuple[float, float]:
    """Batches that were folded, and the events in them."""
    count = sample("worker_batch_size_count", {"job": "analytics"}) or 0
    return count, sample("worker_batch_size_sum", {"job": "analytics"}) or 0


@pytest.mark.full
async def test_a_bad_event_costs_a_few_transactions(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch with one bad event is halved until that is alone: the good ones are folded in a few batches."""
    patch_batch(monkeypatch, "analytics", wait_ms=1000)  # messages may come slowly, and make few batches still
    async with working(settings) as world:
        await world.until_ready()
    user_id = uuid4()
    orders = [created(user_id, total=100, mail=False) for _ in range(200)]
    orders[77] = created(user_id, currency="\0", mail=False)
    ids = await world.publish(*orders)
    before = folded()
    async with working(settings) as world:
        await world.until(ids[77], analytics="dead")
        await world.until_all(ids[:77] + ids[78:], analytics="done")
        assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == len(ids) - 1
    batches, events = (after - start for after, start in zip(folded(), before, strict=True))
    assert events == len(ids) - 1
    assert batches <= 2 * math.ceil(math.log2(len(ids)))


@pytest.mark.full
async def test_many_bad_events_cost_only_themselves(settings: Settings) -> None:
    """Bad events next to each other, first and last, are each dead; all others are folded."""
    async with working(settings) as world:
        await world.until_ready()
        user_id = uuid4()
        bad = {0, 1, 2, 30, 58, 59}
        currencies = ["\0" if place in bad else "EUR" for place in range(60)]
        ids = await world.publish(*(created(user_id, currency=currency, mail=False) for currency in currencies))
        await world.until_all([ids[place] for place in sorted(bad)], analytics="dead")
        await world.until_all([ids[place] for place in range(60) if place not in bad], analytics="done")
        assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == 54
