"""A reader of server-sent events that stores them."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.served import client
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Told:
    event: str
    data: Any
    id: str


@dataclass
class Reader:
    """The events of one stream; `comments` has its heartbeats."""

    events: list[Told] = field(default_factory=list)
    comments: int = 0
    retry_ms: int | None = None
    ended: bool = False

    def of(self, event: str) -> list[Told]:
        return [told for told in self.events if told.event == event]

    def panels(self, name: str) -> list[Any]:
        return [told.data for told in self.of("panel") if told.data["panel"] == name]

    async def until(self, event: str, count: int = 1) -> Told:
        await eventually(lambda: len(self.of(event)) >= count)
        return self.of(event)[count - 1]

    async def read(self, response: httpx.Response) -> None:
        fields: dict[str, str] = {}
        try:
            async for line in response.aiter_lines():
                if line.startswith(":"):
                    self.comments += 1
                elif line:
                    name, _, value = line.partition(": ")
                    fields[name] = value
                elif fields:
                    self._take(fields)
                    fields = {}
        finally:
            self.ended = True

    def _take(self, fields: Mapping[str, str]) -> None:
        if "retry" in fields:
            self.retry_ms = int(fields["retry"])
        if "event" in fields:
            self.events.append(Told(fields["event"], json.loads(fields["data"]), fields.get("id", "")))


@contextlib.asynccontextmanager
async def reading(url: str, headers: Mapping[str, str]) -> AsyncIterator[Reader]:
    """Open a stream for the block. Raises `httpx.HTTPStatusError` if it is refused."""
    async with client() as http, http.stream("GET", url, headers=dict(headers)) as response:
        if response.status_code != 200:
            await response.aread()
        response.raise_for_status()
        reader = Reader()
        task = asyncio.create_task(reader.read(response))
        try:
            yield reader
        finally:
            task.cancel()
            await asyncio.wait([task])
