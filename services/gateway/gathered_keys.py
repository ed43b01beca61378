"""Reads keys of Redis for many requests at a time: what is wanted in one turn of the event loop is one MGET."""

import asyncio
from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

Value = bytes | str | None
Wanted = tuple[Sequence[str], asyncio.Future[Sequence[Value]]]


class GatheredKeys:
    def __init__(self, redis: Redis, timeout_s: float) -> None:
        self._redis = redis
        self._timeout_s = timeout_s
        self._wanted: list[Wanted] = []
        self._reading: set[asyncio.Task[None]] = set()

    async def get(self, keys: Sequence[str]) -> Sequence[Value]:
        """The values of these keys. Raises what Redis raises, and `TimeoutError`."""
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(self._read_soon)
        answer: asyncio.Future[Sequence[Value]] = loop.create_future()
        self._wanted.append((keys, answer))
        return await answer

    def _read_soon(self) -> None:
        wanted, self._wanted = self._wanted, []
        task = asyncio.get_running_loop().create_task(self._read(wanted))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _read(self, wanted: list[Wanted]) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                values = await self._redis.mget([key for keys, _ in wanted for key in keys])
        except (RedisError, OSError, TimeoutError) as failure:
            for _, answer in wanted:
                if not answer.done():
                    answer.set_exception(failure)
            return
        at = 0
        for keys, answer in wanted:
            if not answer.done():
                answer.set_result(values[at : at + len(keys)])
            at += len(keys)
