"""Simulated people, who read dashboards, order and make mistakes; meanwhile, a service hangs for a while."""

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import suppress

import httpx

from tests.support.drawn import picture
from tests.support.stack.operators import bury
from tests.support.stack.running import PASSWORD, Person, Stack

LOOK_EVERY_S = 0.25
HANG_SHARE = 0.08
"""The share of the time during which the orders service hangs."""
CSV = "reference,currency,sku,name,quantity,unit_price,ordered_at\n" + "".join(
    f"row-{number},EUR,tea,Green tea,1,{100 + number},2026-01-31T12:00:00Z\n" for number in range(400)
)


def load(stack: Stack, people: int, seconds: float) -> None:
    """Generate the load. Failures are ignored: they are meant to be visible."""
    persons = [Person(stack, f"Person {number}") for number in range(people)]
    _prepare(stack, persons)
    asyncio.run(_all_at_once(stack, persons, seconds))


async def _all_at_once(stack: Stack, persons: Sequence[Person], seconds: float) -> None:
    ends = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for person in persons:
            group.create_task(_person(stack, person, ends))
        group.create_task(_hang(stack, seconds))


def _prepare(stack: Stack, persons: Sequence[Person]) -> None:
    bury(stack, "550 no such mailbox", 3)
    for number, person in enumerate(persons[:3]):
        person.http.post("/v1/webhooks", json={"url": f"http://127.0.0.1:{9 + number}/", "events": ["order.created"]})


async def _hang(stack: Stack, seconds: float) -> None:
    await asyncio.sleep(seconds * 0.55)
    with stack.frozen("orders"):
        await asyncio.sleep(seconds * HANG_SHARE)


async def _person(stack: Stack, person: Person, ends: float) -> None:
    headers = {"Authorization": person.http.headers["Authorization"]}
    async with httpx.AsyncClient(base_url=stack.url, headers=headers, timeout=20) as http:
        stream = asyncio.create_task(_listen(http))
        while time.monotonic() < ends:
            with suppress(httpx.TransportError):
                await _do_something(http, person)
            await asyncio.sleep(random.expovariate(1 / LOOK_EVERY_S))
        stream.cancel()


async def _listen(http: httpx.AsyncClient) -> None:
    with suppress(httpx.TransportError):
        async with http.stream("GET", "/v1/dashboard/events") as answer:
            async for _ in answer.aiter_raw():
                pass


async def _do_something(http: httpx.AsyncClient, person: Person) -> None:
    dice = random.random()
    if dice < 0.12:
        item = {"sku": "tea", "name": "Green tea", "quantity": random.randint(1, 5), "unit_price": 1250}
        placed = await http.post("/v1/orders", json={"currency": "EUR", "items": [item]})
        if placed.status_code == httpx.codes.CREATED and dice < 0.06:
            await http.post(f"/v1/orders/{placed.json()['id']}/pay")
    elif dice < 0.15:
        wrong = PASSWORD if dice < 0.13 else "not the password"
        await http.post("/v1/tokens", data={"username": person.email, "password": wrong})
    elif dice < 0.155:
        await http.put("/v1/me/avatar", content=picture(), headers={"Content-Type": "image/png"})
    elif dice < 0.16:
        await http.post("/v1/imports", files={"file": ("orders.csv", CSV, "text/csv")})
    else:
        await http.get("/v1/dashboard", headers={"Cache-Control": "no-cache"} if dice < 0.5 else {})
