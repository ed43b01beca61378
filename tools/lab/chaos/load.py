"""The load of a run: persons arrive one after the other and keep ordering, at a bounded rate."""

import asyncio
import random
import time
from contextlib import suppress
from dataclasses import dataclass, field

from tools.devstack.mailbox import Mailbox
from tools.lab.chaos.journal import Journal
from tools.lab.chaos.person import Person
from tools.lab.chaos.requests import NoAnswer, Requests

FIRST = 8
NEWCOMER_EVERY_S = 5.0
MOST = 40
MOST_IN_BURSTS = 150


@dataclass
class Load:
    """`rate` is the maximum number of actions per second of all persons, without bursts. One in five is a dashboard
    request."""

    urls: list[str]
    seed: int
    rate: float
    mailbox: Mailbox
    kind: type[Requests] = Requests
    in_burst: int = 25
    """The number of concurrent orders before each fault."""
    first: int = FIRST
    """The number of persons before the first fault."""
    journal: Journal = field(default_factory=Journal)
    persons: list[Person] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.requests = self.kind(self.urls, self.journal)
        self._turn = asyncio.Lock()
        self._stopped = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._bursts: set[asyncio.Task[None]] = set()

    async def begin(self) -> None:
        """Start; return when the first persons have arrived."""
        await asyncio.gather(*(self._newcomer().arrive() for _ in range(self.first)))
        self._tasks += [asyncio.create_task(self._live(person)) for person in self.persons]
        self._tasks.append(asyncio.create_task(self._newcomers()))

    async def end(self, patience_s: float) -> None:
        """Start no new actions, and finish those in progress."""
        self._stopped.set()
        self.requests.give_up_at = time.monotonic() + patience_s
        await asyncio.gather(*self._tasks, *self._bursts)

    def burst(self) -> None:
        """Send many concurrent orders, so that the next fault finds the system busy. Skip it if most of the previous
        burst is still waiting."""
        if len(self._bursts) > MOST_IN_BURSTS:
            return
        here = [person for person in self.persons if person.has_arrived]
        for _ in range(self.in_burst):
            task = asyncio.create_task(self._place(random.choice(here)))
            self._bursts.add(task)
            task.add_done_callback(self._bursts.discard)

    async def _place(self, person: Person) -> None:
        with suppress(NoAnswer):
            await person.place()

    def tokens(self, email: str) -> list[str]:
        """Return the tokens in the mails to an address, the newest last."""
        return [link.rpartition("=")[2] for mail in self.mailbox.mails(email) for link in mail.links()]

    def _newcomer(self) -> Person:
        number = len(self.persons)
        chance = random.Random(f"{self.seed}/{number}")
        person = Person(f"person-{self.seed}-{number}", self.requests, self.journal, chance, self.tokens)
        self.persons.append(person)
        return person

    async def _newcomers(self) -> None:
        while len(self.persons) < MOST and not await self._stopped_within(NEWCOMER_EVERY_S):
            self._tasks.append(asyncio.create_task(self._arrive_and_live(self._newcomer())))

    async def _arrive_and_live(self, person: Person) -> None:
        try:
            await person.arrive()
        except NoAnswer:
            return
        await self._live(person)

    async def _live(self, person: Person) -> None:
        while not self._stopped.is_set():
            async with self._turn:
                await self._stopped_within(1 / self.rate)
            try:
                await person.act()
            except NoAnswer:
                return

    async def _stopped_within(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._stopped.wait(), seconds)
        except TimeoutError:
            return False
        return True
