"""The backing servers of a run: private servers, each behind a link."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.support.backends.local import LocalRabbit
from tools.devstack.mailbox import Mailbox
from tools.devstack.mailcatcher import MailCatcher
from tools.devstack.servers.base import Server
from tools.devstack.servers.postgres import Postgres
from tools.devstack.servers.valkey import Valkey
from tools.devstack.system.processes import Processes
from tools.lab.chaos.links import ChaosLink


class Database(Protocol):
    @property
    def url(self) -> str:
        """The URL for a direct connection as the superuser."""


class Broker(Protocol):
    @property
    def url(self) -> str: ...

    def messages(self) -> dict[str, int]:
        """Return the number of messages in each queue, ready or delivered."""

    def close_connections(self) -> None: ...


@dataclass(frozen=True)
class Servers:
    """`urls` has the addresses that the system under test uses."""

    postgres: Database
    rabbitmq: Broker
    smtp: MailCatcher
    urls: Mapping[str, str]
    by_name: Mapping[str, Server] = field(default_factory=dict)
    links: Mapping[str, ChaosLink] = field(default_factory=dict)

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
        urls = {name: link.url for name, link in links.items()}
        yield Servers(postgres, rabbitmq, smtp, urls, {server.name: server for server in every}, links)
