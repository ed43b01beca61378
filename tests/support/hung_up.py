"""A broker that closes the connection before its greeting, like a proxy while the broker behind it restarts."""

import aio_pika


class HungUp(aio_pika.Connection):
    attempts = 0

    async def connect(self, timeout: object = None) -> None:  # noqa: ASYNC109, ARG002  aio-pika's signature
        type(self).attempts += 1
        raise StopAsyncIteration  # the error of aiormq if the end has arrived before it reads
