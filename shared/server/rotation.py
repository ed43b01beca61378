"""Keys that can be rotated while a process runs: their files are checked every few seconds."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import Counter
from pydantic import SecretStr, ValidationError

from shared.config.settings import ServiceSettings, file_of, read_file, variable_of
from shared.observability.logs import get_logger

log = get_logger(__name__)

READ = Counter("secret_files_read_total", "Changed secret files, by outcome: taken or refused.", ["setting", "outcome"])


@dataclass
class _Followed:
    """`known` is the text that was read last."""

    name: str
    variable: str
    path: Path
    take: Callable[[str], None]
    known: str


POLL_S = 5.0
"""How often the files are checked."""


class SecretFiles:
    """The files of the settings that may change while the process runs."""

    def __init__(self, settings: ServiceSettings, poll_s: float = POLL_S) -> None:
        self._settings = settings
        self._poll_s = poll_s
        self._followed: list[_Followed] = []

    def follow(self, name: str, take: Callable[[str], None]) -> None:
        """Call `take` with the setting's new text whenever its file has changed to a valid value.

        Does nothing if the setting has no file.
        """
        kind = type(self._settings)
        if path := file_of(kind, name):
            known: SecretStr = getattr(self._settings, name)
            self._followed.append(_Followed(name, variable_of(kind, name), path, take, known.get_secret_value()))

    async def watch(self) -> None:
        """Check the files periodically. A file that is invalid changes nothing. Runs until cancelled."""
        while self._followed:
            for one in self._followed:
                await self._look(one)
            await asyncio.sleep(self._poll_s)

    async def _look(self, one: _Followed) -> None:
        try:
            told = await asyncio.to_thread(read_file, one.variable, one.path)
            if told == one.known:
                return
            one.known = told
            self._settings.__pydantic_validator__.validate_assignment(self._settings.model_copy(), one.name, told)
        except ValidationError as wrong:  # no traceback: it would contain the secret
            _refused(one.variable, "; ".join(error["msg"] for error in wrong.errors()))
        except ValueError as unreadable:
            _refused(one.variable, str(unreadable))
        else:
            one.take(told)
            READ.labels(one.variable, "taken").inc()
            log.info("secret file changed; using the new secret", setting=one.variable)


def _refused(variable: str, reason: str) -> None:
    READ.labels(variable, "refused").inc()
    log.error("secret file changed but is invalid; keeping the old secret", setting=variable, reason=reason)
