"""Reads keys of Redis for many requests at a time: what is wanted while one MGET is under way goes into the next."""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis

Value = bytes | str | None
Wanted = tuple[Sequence[str], asyncio.Future[Sequence[Value]]]


class BatchedGet:
    """Each caller waits for `timeout_s` at most, the time in which their keys wait for company included."""

    def __init__(self, redis: Redis, timeout_s: float) -> None:
        self._redis = redis
        self._timeout_s = timeout_s
        self._wanted: list[Wanted] = []
        self._reading: asyncio.Task[None] | None = None

    async def get(self, keys: Sequence[str]) -> Sequence[Value]:
        """The values of these keys. Raises what Redis raises, and `TimeoutError`."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[Value]] = loop.create_future()
        self._wanted.append((keys, answer))
        if self._reading is None:
            self._reading = loop.create_task(self._read_all())
        async with asyncio.timeout(self._timeout_s):
            return await answer

    async def _read_all(self) -> None:
        try:
            while self._wanted:
                wanted, self._wanted = self._wanted, []
                await self._read(wanted)
        finally:
            self._reading = None

    async def _read(self, wanted: list[Wanted]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                values = await self._redis.mget([key for keys, _ in wanted for key in keys])
        except Exception as failure:  # whatever it is, each of those who wait raises it
            for _, answer in wanted:
                if not answer.done():
                    answer.set_exception(failure)
            return
        at = 0
        for keys, answer in wanted:
            if not answer.done():
                answer.set_result(values[at : at + len(keys)])
            at += len(keys)
