"""A model of a mail server, as far as aiosmtplib needs one."""

import asyncio
import re
from dataclasses import dataclass
from random import Random

_MESSAGE_ID = re.compile(rb"(?im)^Message-ID:\s*(<[^>]+>)")
_SUBJECT = re.compile(rb"(?im)^Subject:\s*(.*?)\r?$")
CONTENT_S = 0.01


@dataclass(frozen=True)
class Mail:
    """A mail that the server has accepted."""

    recipient: str
    message_id: str
    subject: str


@dataclass
class MailFaults:
    """Probabilities: of refusing a mail for now, of closing before and after it is accepted, of hanging for a while."""

    defers: float = 0.0
    closes_before: float = 0.0
    closes_after: float = 0.0
    hangs: float = 0.0

    def stop(self) -> None:
        """Set all probabilities to 0."""
        self.defers = self.closes_before = self.closes_after = self.hangs = 0.0


class MailServer:
    """Give `serve` to `asyncio.start_server`."""

    def __init__(self, random: Random) -> None:
        self.faults = MailFaults()
        self.mails: list[Mail] = []
        self._random = random

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until the client leaves or a fault ends it."""
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipient = ""
        writer.write(b"220 simulation\r\n")
        while line := await reader.readline():
            command = line[:4].upper()
            if command == b"EHLO":
                writer.write(b"250-simulation\r\n250 8BITMIME\r\n")
            elif command == b"RCPT":
                recipient = line.partition(b"<")[2].partition(b">")[0].decode()
                if self._happens(self.faults.defers):
                    writer.write(b"451 later\r\n")
                else:
                    writer.write(b"250 ok\r\n")
            elif command == b"DATA":
                writer.write(b"354 go on\r\n")
                content = await reader.readuntil(b"\r\n.\r\n")
                if not await self._accept(recipient, content):
                    return
                writer.write(b"250 accepted\r\n")
            elif command == b"QUIT":
                writer.write(b"221 bye\r\n")
                return
            else:
                writer.write(b"250 ok\r\n")

    async def _accept(self, recipient: str, content: bytes) -> bool:
        """Store a mail, unless a fault comes before. Returns whether to say so."""
        if self._happens(self.faults.closes_before):
            return False
        await asyncio.sleep(self._random.random() * CONTENT_S)
        message_id, subject = _MESSAGE_ID.search(content), _SUBJECT.search(content)
        self.mails.append(
            Mail(recipient, message_id[1].decode() if message_id else "", subject[1].decode() if subject else "")
        )
        if self._happens(self.faults.hangs):
            await asyncio.sleep(60)
        return not self._happens(self.faults.closes_after)

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._random.random() < probability
