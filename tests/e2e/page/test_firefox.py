"""The page in Firefox: what people do most, in two tabs that share a live stream."""

import asyncio
from pathlib import Path

import pytest

from tests.support.stack.firefox import ENTER, TAB, launched, needs_firefox
from tests.support.stack.operators import Operator
from tests.support.stack.running import PASSWORD, PATIENCE_S, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.full, needs_firefox]

MARK_READ = ".note:not(.read) button[data-key^='read-']"


async def test_the_page_works_in_firefox(stack: Stack, admin: Operator, tmp_path: Path) -> None:
    """A person signs in, and places an order in a second tab, which the first one shows when it is shown. They read
    the notification and look at the operators' page. axe finds no violations."""
    async with launched(tmp_path / "profile") as firefox:
        first = await firefox.opens(stack.url)
        await first.enters("E-mail", f"{admin.person.email}{TAB}{PASSWORD}{ENTER}")
        await first.shows("#live", "Live")

        second = await firefox.opens(stack.url)
        await second.shows("#live", "Live")
        await second.clicks("button", "New order")
        await second.enters("Item", f"Green tea{TAB}tea-100{TAB}2{TAB}12.50")
        await second.is_accessible()
        await second.clicks("button", "Place order")
        await second.shows("tr[data-order]")
        await first.is_looked_at()
        await first.shows("tr[data-order]")

        async def is_one_stream() -> bool:
            return await asyncio.to_thread(stack.streams) == 1

        await eventually(is_one_stream, PATIENCE_S)

        await first.shows(MARK_READ)
        await first.clicks("button", await first.evaluates(f'document.querySelector("{MARK_READ}").ariaLabel'))
        await first.shows(".note.read")
        await second.is_looked_at()
        await second.shows(".note.read")
        await second.is_accessible()

        await second.goes_to(f"{stack.url}/ops")
        await second.shows("h1")
        await second.shows("#live", "Live")
        await second.is_accessible()
    assert not firefox.errors
