"""Rate limit policies and their headers."""

from dataclasses import dataclass
from functools import cached_property

import limits

Header = tuple[bytes, bytes]


@dataclass(frozen=True)
class Policy:
    """A number of requests in a window of a number of seconds. Windows begin at multiples of their length, on every
    replica at the same time."""

    name: str
    amount: int
    seconds: int

    @classmethod
    def parse(cls, name: str, told: str) -> "Policy | None":
        """Parse the notation of settings, such as `10/minute` or `20 per 5 minutes`; None if empty. Raises
        `ValueError`."""
        if not told.strip():
            return None
        item = limits.parse(told)
        return cls(name, item.amount, item.get_expiry())

    @cached_property
    def header(self) -> Header:
        """`RateLimit-Policy`, as defined in draft-ietf-httpapi-ratelimit-headers-10."""
        return b"ratelimit-policy", f'"{self.name}";q={self.amount};w={self.seconds}'.encode()

    @cached_property
    def line(self) -> bytes:
        """A template of `RateLimit`, with the remaining requests and the seconds until the window ends."""
        return f'"{self.name}";r=%d;t=%d'.encode()

    @cached_property
    def lines(self) -> bytes:
        """A template of both headers as bytes on the wire."""
        return b"%s: %s\r\nratelimit: %s\r\n" % (*self.header, self.line)

    def told(self, left: int, now: float) -> tuple[Header, Header]:
        """Return both headers."""
        return self.header, (b"ratelimit", self.line % (max(0, left), self.window(now)[1] + 1))

    def window(self, now: float) -> tuple[int, float]:
        """Return the number of the window at that moment, and the seconds until it ends."""
        number = int(now // self.seconds)
        return number, (number + 1) * self.seconds - now
