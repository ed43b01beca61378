"""How much is allowed in which time, and how the answer says so."""

from dataclasses import dataclass
from functools import cached_property

import limits

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Policy:
    """So many requests in a window of so many seconds. Windows begin at multiples of their length, on every replica
    at the same time."""

    name: str
    amount: int
    seconds: int

    @classmethod
    def parse(cls, name: str, told: str) -> "Policy | None":
        """From the notation of settings, such as `10/minute` or `20 per 5 minutes`; None when empty. Raises
        `ValueError`."""
        if not told.strip():
            return None
        item = limits.parse(told)
        return cls(name, item.amount, item.get_expiry())

    @cached_property
    def header(self) -> Header:
        """`RateLimit-Policy`, as draft-ietf-httpapi-ratelimit-headers-10 has it."""
        return b"ratelimit-policy", f'"{self.name}";q={self.amount};w={self.seconds}'.encode()

    @cached_property
    def line(self) -> bytes:
        """The value of `RateLimit`, to be filled with what is left and the seconds until the window ends."""
        return f'"{self.name}";r=%d;t=%d'.encode()

    @cached_property
    def lines(self) -> bytes:
        """Both headers as they go over the wire, to be filled likewise."""
        return b"%s: %s\r\nratelimit: %s\r\n" % (*self.header, self.line)

    def told(self, left: int, now: float) -> tuple[Header, Header]:
        """Both headers."""
        return self.header, (b"ratelimit", self.line % (max(0, left), self.window(now)[1] + 1))

    def window(self, now: float) -> tuple[int, float]:
        """The window of that moment, by its number, and the seconds until it ends."""
        number = int(now // self.seconds)
        return number, (number + 1) * self.seconds - now
