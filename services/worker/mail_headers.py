"""Mail headers as they go out. Whatever people call themselves is text, and never syntax.

Python's own header objects read a name before they write it, so that `=?utf-8?q?=0D=0ABcc=3A...?=` becomes a header.
Here a name is either plain words or an encoded word (RFC 2047), and nothing reads it in between.
"""

import re
from dataclasses import dataclass
from email.charset import Charset
from email.utils import parseaddr
from typing import Self

import idna

_ATOM = r"[^\s\x00-\x20\x7f-\x9f()<>\[\]:;@\\,.\"]+"
_LOCAL = re.compile(rf"{_ATOM}(\.{_ATOM})*")
_HOST = re.compile(r"[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
_WORD = r"[A-Za-z0-9!#$%&'*+/^_`{|}~-]+"
_PLAIN = re.compile(rf"{_WORD}( {_WORD})*")
"""Neither `=` nor `?`, so that no reader takes a word for an encoded one."""
ENCODED_WORD = "=?"
MAX_PLAIN = 60
FOLD = "\r\n "
_UTF8 = Charset("utf-8")


@dataclass(frozen=True, slots=True)
class Mailbox:
    """Whom a mail is from or to. `address` has its domain as A-labels (IDNA 2008); `str()` is the header's value."""

    name: str
    address: str

    @classmethod
    def of(cls, name: str, address: str) -> Self:
        """Raises `ValueError` for an address that no header can hold."""
        local, _, domain = address.rpartition("@")
        if not domain.isascii():
            domain = idna.encode(domain, uts46=True).decode()
        if not _LOCAL.fullmatch(local) or ENCODED_WORD in local or not _HOST.fullmatch(domain):
            raise ValueError("no mail address")
        return cls(name, f"{local}@{domain}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Reads `Name <address>`. Raises `ValueError`."""
        return cls.of(*parseaddr(text))

    @property
    def domain(self) -> str:
        return self.address.rpartition("@")[2]

    def __str__(self) -> str:
        return f"{phrase(self.name)}{FOLD}<{self.address}>" if self.name else self.address


def phrase(text: str) -> str:
    """A name as a header may hold it. Raises `ValueError` for control characters.

    It is one encoded word, also where that is longer than the 75 characters of RFC 2047: of two, some readers make a
    name with a space that it does not have (Python's own until 2026, CPython issue 128110).
    """
    if any(char < " " or "\x7f" <= char <= "\x9f" for char in text):
        raise ValueError("a control character")
    if len(text) <= MAX_PLAIN and _PLAIN.fullmatch(text):
        return text
    return _UTF8.header_encode(text)
