"""A DNS that says what a test wants."""

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from services.worker.webhooks.address import Unresolved
from services.worker.webhooks.settings import Network


class Names:
    """A DNS of which each question is answered by the next of a name's answers, the last one again and again."""

    def __init__(self, **names: Sequence[list[str]]) -> None:
        self._names = {name.replace("_", "."): list(answers) for name, answers in names.items()}
        self.asked: list[str] = []

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        answers = self._names.get(name)
        if answers is None:
            raise Unresolved("the name cannot be resolved")
        return answers.pop(0) if len(answers) > 1 else answers[0]

    @asynccontextmanager
    async def network(self, _: float) -> AsyncIterator[Network]:
        """For a worker that asks here."""
        yield Network(self, ssl.create_default_context())
