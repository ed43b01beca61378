"""How a service's response is passed on, message by message."""

import pytest
from pyqwest import Headers, Response
from starlette.types import Message

from services.gateway.proxy.forward import relay
from services.gateway.proxy.headers import SMALL_BODY_BYTES
from services.gateway.upstream.responses import ServiceResponse, read_limited


@pytest.mark.parametrize("read_before", [False, True])
@pytest.mark.parametrize("says_length", [False, True])
@pytest.mark.parametrize("size", [0, 1, SMALL_BODY_BYTES + 1])
async def test_a_response_has_one_head_and_one_end(size: int, says_length: bool, read_before: bool) -> None:
    """Whether its length is known or not, and whether somebody has looked at the body before."""
    body = b"x" * size
    headers = Headers([("content-length", str(size))] if says_length else [])
    response = ServiceResponse(Response(status=200, headers=headers, content=body))
    if read_before:
        response.put_back(await read_limited(response, size))
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await relay(response, send, 10)
    await response.aclose()
    head, *parts = sent
    assert head["type"] == "http.response.start"
    assert b"".join(part["body"] for part in parts) == body
    assert [part.get("more_body", False) for part in parts] == [True] * (len(parts) - 1) + [False]
