"""The backing servers of a run: private, and each behind a link."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from services.local.mailbox import Mailbox
from services.local.processes import Processes
from services.local.servers.base import Server
from services.local.servers.postgres import Postgres
from services.local.servers.smtp import MailCatcher
from services.local.servers.valkey import Valkey
from tests.backends.local import LocalRabbit
from tests.chaos.links import ChaosLink


@dataclass(frozen=True)
class Servers:
    postgres: Postgres
    redis: Valkey
    rabbitmq: LocalRabbit
    smtp: MailCatcher
    links: dict[str, ChaosLink]

    @property
    def by_name(self) -> dict[str, Server]:
        return {server.name: server for server in (self.postgres, self.redis, self.rabbitmq, self.smtp)}

    @property
    def mailbox(self) -> Mailbox:
        return Mailbox(self.smtp.mailbox)


@asynccontextmanager
async def running_servers(folder: Path, processes: Processes) -> AsyncIterator[Servers]:
    postgres = Postgres(processes, folder / "postgres", folder / "postgres.log")
    redis = Valkey(processes, folder / "redis", folder / "redis.log")
    rabbitmq = LocalRabbit(processes, folder / "rabbitmq", folder / "rabbitmq.log")
    smtp = MailCatcher(processes, folder / "mail.sqlite", folder / "smtp.log")
    every: list[Server] = [postgres, redis, rabbitmq, smtp]
    async with AsyncExitStack() as stack:
        for server in every:
            stack.push_async_callback(asyncio.to_thread, server.stop)
        await asyncio.gather(*(asyncio.to_thread(server.start) for server in every))
        links = {server.name: await stack.enter_async_context(ChaosLink.to(server.url)) for server in every}
        yield Servers(postgres, redis, rabbitmq, smtp, links)
