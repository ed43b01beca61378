"""What one live stream tells its client, and in which order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
from starlette.types import Message

from services.gateway.dashboard.models import PanelView
from services.gateway.live import sse
from services.gateway.live.sse import PanelNews
from services.gateway.live.subscription import MAX_IMPORTS, SlowClient, Subscription
from services.gateway.settings import Tuning
from shared.http.identity import Caller
from shared.ids import new_id
from tests.support.waiting import eventually

PANELS = ("user", "orders")


def news(panel: str, number: int, data: str = "{}") -> PanelNews:
    return sse.panel_news(panel, number, PanelView("fresh", 0, msgspec.Raw(data.encode())))


class Client:
    """What arrived; while `stuck`, nothing more does."""

    def __init__(self) -> None:
        self.got = b""
        self.closed = False
        self.free = asyncio.Event()
        self.free.set()

    async def send(self, message: Message) -> None:
        await self.free.wait()
        self.got += message["body"]
        self.closed = not message.get("more_body", False)


def stream(known: dict[str, str] | None = None, send_timeout_s: float = 60) -> Subscription:
    return Subscription(
        Caller(new_id(), "user", new_id()), 0, PANELS, known or {}, Tuning(stream_send_timeout_s=send_timeout_s)
    )


@asynccontextmanager
async def running(one: Subscription, client: Client) -> AsyncIterator[None]:
    task = asyncio.create_task(one.run(client.send, 1000))
    yield
    one.leave()
    await task


async def test_the_later_reading_counts() -> None:
    """However the answers of two readings overtake each other; and a panel that nobody wanted is not told."""
    one, client = stream(), Client()
    async with running(one, client):
        one.tell_panel(news("orders", 2, '"late"'), even_if_known=False)
        one.tell_panel(news("orders", 1, '"early"'), even_if_known=True)
        one.tell_panel(news("analytics", 3), even_if_known=True)
        await eventually(lambda: b"late" in client.got)
    assert b"early" not in client.got
    assert b"analytics" not in client.got


async def test_what_the_client_has_is_told_only_when_it_may_have_changed() -> None:
    same = news("user", 1)
    one, client = stream({"user": same.digest}), Client()
    async with running(one, client):
        one.tell_panel(same, even_if_known=False)
        one.tell_ready()
        await eventually(lambda: b"ready" in client.got)
        assert b"panel" not in client.got.replace(b"event: ready", b"")
        one.tell_panel(news("user", 2), even_if_known=True)
        await eventually(lambda: b"event: panel" in client.got)


async def test_for_who_is_slow_the_latest_of_each_is_kept() -> None:
    """A thousand changes while nothing is read are one panel, and no more than a few imports."""
    one, client = stream(), Client()
    client.free.clear()
    async with running(one, client):
        for number in range(1000):
            one.tell_panel(news("orders", number, f'"{number}"'), even_if_known=True)
            one.tell_import(str(number), sse.frame("import", b"{}"))
        client.free.set()
        await eventually(lambda: b"event: import" in client.got)
    assert client.got.count(b"event: panel") == 1
    assert b'"999"' in client.got
    assert client.got.count(b"event: import") == MAX_IMPORTS


async def test_an_end_is_told_even_if_it_comes_while_something_is_sent() -> None:
    """The reason of the first end is the last that is told."""
    one, client = stream(), Client()
    client.free.clear()
    task = asyncio.create_task(one.run(client.send, 1000))
    await asyncio.sleep(0)  # it is sending now
    one.end("token_expired")
    one.end("shutting_down")
    client.free.set()
    await task
    assert client.got.endswith(sse.end("token_expired"))
    assert client.closed


async def test_who_takes_nothing_loses_the_stream() -> None:
    one, client = stream(send_timeout_s=0.01), Client()
    client.free.clear()
    with pytest.raises(SlowClient):
        await one.run(client.send, 1000)
