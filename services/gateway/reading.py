"""Reads what services answer; whatever httpx raises becomes a failure of the service."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from services.gateway.upstream.errors import BadAnswer, TooLate, Unreachable


@contextmanager
def translated() -> Iterator[None]:
    try:
        yield
    except (httpx.ConnectError, httpx.ConnectTimeout) as refused:
        raise Unreachable(str(refused)) from refused
    except (httpx.TimeoutException, TimeoutError) as late:
        raise TooLate(str(late)) from late
    except httpx.TransportError as broken:
        raise BadAnswer(str(broken)) from broken


async def read_limited(response: httpx.Response, max_bytes: int) -> bytes:
    """The body of a response. Raises `BadAnswer` as soon as it is larger than that."""
    body = bytearray()
    with translated():
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                raise BadAnswer(f"more than {max_bytes} bytes")
    return bytes(body)


async def fetch(transport: httpx.AsyncBaseTransport, url: str, max_bytes: int) -> bytes:
    """The body of a plain GET that succeeds. Raises `UpstreamFailed`."""
    with translated():
        response = await transport.handle_async_request(httpx.Request("GET", url))
    try:
        if response.status_code != httpx.codes.OK:
            raise BadAnswer(f"status {response.status_code}")
        return await read_limited(response, max_bytes)
    finally:
        await response.aclose()
