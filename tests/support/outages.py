"""Outages of a dependency, and checks of a process's background tasks during them."""

from collections.abc import Awaitable, Callable

import pytest
from fastapi import FastAPI

from shared.server.background import RestartPolicy, TaskFailing
from tests.support.link import Link

OFTEN = 8
"""After this number of failures in a row, tasks used to give up."""
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
    """Return the running tasks without the one that ends at once if no secret is a file."""
    return {task.get_name() for task in app.state.background._tasks} - {"secret files"}


async def is_well(app: FastAPI) -> bool:
    try:
        await app.state.background.check()
    except TaskFailing:
        return False
    return True
