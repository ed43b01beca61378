"""Work beside the requests that fails where it should not: nothing is lost, and nobody has to restart the worker."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from services.worker.broker.acknowledgements import Acknowledger
from services.worker.ledger.retries import Retries
from services.worker.live_hints import Hints
from services.worker.settings import Settings
from tests.support.metrics import sample
from tests.support.waiting import eventually
from tests.support.worker.world import LONG_S, created, working

QUICK: dict[str, Any] = {"watch_interval_s": 0.1}


def failing_once(patch: pytest.MonkeyPatch, owner: type, name: str) -> Callable[[], bool]:
    """Have a method raise what nobody expects, the first time; whether that has happened."""
    sound = getattr(owner, name)
    failed: list[bool] = []

    async def once(*given: Any, **named: Any) -> Any:
        if not failed:
            failed.append(True)
            raise ZeroDivisionError("a defect")
        return await sound(*given, **named)

    patch.setattr(owner, name, once)
    return lambda: bool(failed)


@pytest.mark.full
async def test_messages_in_hand_come_again(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect between a job's effect and its acknowledgement: the consumers are built anew, and each effect is there
    once."""
    async with working(settings.model_copy(update=QUICK)) as world:
        await world.until_ready()
        before, failed = restarts("consumers"), failing_once(monkeypatch, Acknowledger, "acknowledge")
        user_id = uuid4()
        ids = await world.publish(*(created(user_id, mail=False) for _ in range(5)))
        await eventually(failed, LONG_S)
        await world.until_all(ids, analytics="done", notifications="done")
        await eventually(lambda: restarts("consumers") > before, LONG_S)
        await world.until_ready()
        assert (await world.panel("analytics", user_id))[str(user_id)]["orders"] == 5


def restarts(task: str) -> float:
    return sample("background_restarts_total", {"task": task}) or 0


@pytest.mark.full
@pytest.mark.parametrize(("owner", "name"), [(Retries, "_sweep"), (Hints, "send")])
async def test_a_task_that_fails_is_begun_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    """The worker is degraded meanwhile, never stops taking messages, and is well again by itself."""
    failed = failing_once(monkeypatch, owner, name)
    async with working(settings.model_copy(update=QUICK)) as world:
        await world.until_ready()
        [event_id] = await world.publish(created(uuid4(), mail=False))
        await eventually(failed, LONG_S)
        await world.until(event_id, analytics="done")

        async def well() -> bool:
            return bool((await world.ready()).json()["status"] == "ready")

        await eventually(well, LONG_S)
        assert world.app.state.background.failure is None
