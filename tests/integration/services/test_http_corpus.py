"""Each service's answers to raw requests, well formed and not, past the gateway."""

from fastapi import FastAPI

from tests.support.http_corpus import pipelines, singles
from tests.support.http_sockets import wrong
from tests.support.served import listening
from tests.support.services.every import each


@each
async def test_every_request_has_one_answer(app: FastAPI) -> None:
    """In order, and the connection ends where it must."""
    async with listening(app) as port:
        assert await wrong(port, [*singles(), *pipelines()[::61]]) == []
