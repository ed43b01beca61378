"""The model of Redis answers what the real one answers, for all that the gateway sends."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from limits.aio.storage import RedisStorage
from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.gateway.dashboard.stale_store import WRITE
from tests.support.backends import RedisBackend
from tests.support.simulation.models import served_model
from tests.support.waiting import eventually
from tools.lab.simulation.redis import RedisModel

YEAR_S = 365 * 24 * 3600
Request = tuple[Any, ...]

keys = st.sampled_from(["a", "b", "c"])
values = st.sampled_from(["", "text", "7", "-3", "007", str(2**63 - 1), "1.5"])
requests = st.one_of(
    st.tuples(st.just("SET"), keys, values),
    st.tuples(st.just("SET"), keys, values, st.just("EX"), st.sampled_from([0, -1, 100, YEAR_S])),
    st.tuples(st.just("GET"), keys),
    st.tuples(st.just("MGET"), keys, keys),
    st.tuples(st.just("DEL"), keys, keys),
    st.tuples(st.just("INCRBY"), keys, st.integers(-3, 3)),
    st.tuples(st.just("EXPIRE"), keys, st.sampled_from([-1, 0, 100, YEAR_S])),
    st.tuples(st.just("TTL"), keys),
    st.tuples(st.just("XADD"), keys, st.just("*"), st.just("kind"), values),
    st.tuples(st.just("XADD"), keys, st.just("MINID"), st.just("="), st.just("5"), st.just("*"), st.just("f"), values),
    st.tuples(st.just("XLEN"), keys),
    st.tuples(
        st.just("XREAD"), st.just("COUNT"), st.just(2), st.just("STREAMS"), keys, st.sampled_from(["0", "0-1", "$"])
    ),
    st.tuples(st.just("COUNT"), keys, st.sampled_from([100, YEAR_S]), st.integers(-2, 2)),
    st.tuples(st.just("WRITE"), keys, st.integers(-1000, 10_000_000), st.sampled_from([100, 0])),
)


@asynccontextmanager
async def model(**options: Any) -> AsyncIterator[Redis]:
    server = RedisModel(Random(1), time.time)
    async with served_model(server) as address, Redis.from_url(f"redis://{address}/0", **options) as client:
        yield client
    assert server.not_modelled == []


async def answers(client: Redis, prefix: str, sequence: list[Request]) -> list[Any]:
    return [_comparable(await _answer(client, prefix, request)) for request in sequence]


async def _answer(client: Any, prefix: str, request: Request) -> Any:
    name, key, *rest = request
    storage = RedisStorage(
        "redis://unused:6379", implementation="redispy", key_prefix=prefix, connection_pool=client.connection_pool
    )
    try:
        match name:
            case "COUNT":  # of the library `limits`, with its script
                return await storage.incr(key, *rest)
            case "WRITE":
                asked_ms, expires_s = rest
                return await client.eval(WRITE, 1, f"{prefix}:{key}", expires_s, asked_ms, '"at":1,"data":{}}')
            case "XREAD":
                *options, stream, after = rest
                return await client.execute_command(name, key, *options, f"{prefix}:{stream}", after)
            case "MGET" | "DEL":
                return await client.execute_command(name, *(f"{prefix}:{each}" for each in (key, *rest)))
        return await client.execute_command(name, f"{prefix}:{key}", *rest)
    except RedisError as error:
        return f"{type(error).__name__}: {error}".partition(" script:")[0]


def _comparable(answer: Any) -> Any:
    """Without what depends on the moment: ids of entries, and times."""
    if isinstance(answer, bytes) and answer.startswith(b'{"asked":'):
        return answer.partition(b",")[2]
    if (
        isinstance(answer, bytes)
        and answer.count(b"-") == 1
        and answer.replace(b"-", b"").isdigit()
        and answer[0] != 45
    ):
        return "entry id"
    if isinstance(answer, int) and answer > 50:
        return round(answer, -1)
    if isinstance(answer, dict):
        return {_plain(key): _comparable(value) for key, value in answer.items()}
    if isinstance(answer, list | tuple):
        return [_comparable(each) for each in answer]
    return _plain(answer)


def _plain(value: Any) -> Any:
    """Without the prefix of the key."""
    return value.rpartition(b":")[2] if isinstance(value, bytes) else value


@pytest.mark.full
@pytest.mark.parametrize("protocol", [2, 3])
@settings(max_examples=20, derandomize=True)
@given(sequence=st.lists(requests, min_size=5, max_size=20))
async def test_random_requests(redis: RedisBackend, protocol: int, sequence: list[Request]) -> None:
    """The same requests have the same answers, errors included."""
    prefix = uuid4().hex
    async with model(protocol=protocol) as client:
        modelled = await answers(client, prefix, sequence)
    async with Redis.from_url(redis.url, protocol=protocol) as client:
        real = await answers(client, prefix, sequence)
        await client.delete(*(f"{prefix}:{key}" for key in "abc"), *(f"{prefix}/{key}" for key in "abc"))
    assert modelled == real


async def followed(client: Any) -> Any:
    """What a reader of a stream gets that waits for its entries, beginning before the first."""
    stream, after = f"follow:{uuid4().hex}", "0"
    seen: list[Any] = []

    async def read() -> None:
        nonlocal after
        while len(seen) < 3:
            for _, entries in await client.xread({stream: after}, count=10, block=60_000):
                for entry_id, fields in entries:
                    seen.append(fields)
                    after = entry_id.decode()

    reading = asyncio.create_task(read())
    for number in range(3):
        pipeline = client.pipeline(transaction=False)
        pipeline.xadd(stream, {"user": str(number)}, minid="5")
        pipeline.expire(stream, 100)
        await pipeline.execute()
    await asyncio.wait_for(reading, 60)
    nothing = await client.xread({stream: after}, count=10, block=1)
    length = await client.xlen(stream)
    await client.delete(stream)
    return seen, nothing, length


async def test_a_followed_stream(redis: RedisBackend) -> None:
    """A reader that waits gets every entry, in order, and nothing when its time is over."""
    async with model() as client:
        modelled = await followed(client)
    async with Redis.from_url(redis.url) as client:
        assert modelled == await followed(client)


async def test_an_expired_key(redis: RedisBackend) -> None:
    """It is gone, whatever it was."""

    async def gone(client: Redis) -> Any:
        names = [f"expired:{uuid4().hex}" for _ in range(2)]
        await client.set(names[0], "value", px=1)
        await client.xadd(names[1], {"a": "b"})
        await client.expire(names[1], 1)

        async def all_gone() -> bool:
            return await client.xlen(names[1]) == 0

        await eventually(all_gone)
        return await client.mget(names), await client.incrby(names[0], 5), await client.delete(*names)

    async with model() as client:
        modelled = await gone(client)
    async with Redis.from_url(redis.url) as client:
        assert modelled == await gone(client)
