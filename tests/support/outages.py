"""Ways in which something that a process needs can be away, and what is asked of its background tasks meanwhile."""

from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI

from shared.server.background import RestartPolicy, TaskFailing
from tests.support.link import Link

OFTEN = 8
"""A task that fails so often in a row was given up once."""
SOON = RestartPolicy(first_pause_s=0.01, longest_pause_s=0.01, settled_s=0.5)

Outage = Callable[[Link], Awaitable[None]]


async def refuse(link: Link) -> None:
    await link.cut()


async def hang(link: Link) -> None:
    link.black_hole()


async def talk_nonsense(link: Link) -> None:
    await link.talk_nonsense()


outages = pytest.mark.parametrize("outage", [refuse, hang, talk_nonsense])


def running_tasks(app: FastAPI) -> set[str]:
    """All but the one that ends at once where no secret is a file."""
    return {task.get_name() for task in app.state.background._tasks} - {"secret files"}


async def is_well(app: FastAPI) -> bool:
    try:
        await app.state.background.check()
    except TaskFailing:
        return False
    return True
