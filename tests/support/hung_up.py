"""A broker that hangs up before it has greeted, as a proxy does while the broker behind it restarts."""

import aio_pika


class HungUp(aio_pika.Connection):
    attempts = 0

    async def connect(self, timeout: object = None) -> None:  # noqa: ASYNC109, ARG002  aio-pika's signature
        type(self).attempts += 1
        raise StopAsyncIteration  # what aiormq makes of it, when the end has arrived by the time it reads
