"""Why a service gave no usable response.

UpstreamFailed
├── NotAsked          no request was sent
│   ├── CircuitOpen   too many recent failures; calls are suspended
│   ├── Overloaded    too many calls to it are in flight
│   └── Unreachable   no connection
├── TooLate           no response in time
├── BadAnswer         an invalid or truncated response
│   └── Refused       the service is healthy, and rejects the request or answers with something else
│       ├── NotTrusted    it rejects the gateway's own token or identity
│       └── Forbidden     it rejects the caller's own credentials, which the gateway forwarded
└── MissingValue      the caller's token lacks what the request needs; no request was sent
"""

from typing import ClassVar, Literal

ErrorCode = Literal[
    "timeout", "connect", "bad_response", "circuit_open", "overloaded", "forbidden", "missing_claim", "internal"
]
"""Why a panel is not fresh, as clients see it."""
FINAL: frozenset[ErrorCode] = frozenset({"forbidden", "missing_claim", "internal"})
"""Repeating the request does not help."""
PERSONAL: frozenset[ErrorCode] = frozenset({"forbidden", "missing_claim"})
"""The person may not have the panel: nor may they have its last known good value."""


class UpstreamFailed(Exception):
    code: ClassVar[ErrorCode]


class NotAsked(UpstreamFailed):
    pass


class CircuitOpen(NotAsked):
    code = "circuit_open"


class Overloaded(NotAsked):
    """`pause_s`: how long the service asked not to be called."""

    code = "overloaded"

    def __init__(self, reason: str = "", *, pause_s: float = 0.0) -> None:
        super().__init__(reason)
        self.pause_s = pause_s


class Unreachable(NotAsked):
    code = "connect"


class TooLate(UpstreamFailed):
    code = "timeout"


class BadAnswer(UpstreamFailed):
    code: ClassVar[ErrorCode] = "bad_response"


class Refused(BadAnswer):
    pass


class NotTrusted(Refused):
    """Never the client's fault: secrets or clocks differ."""


class Forbidden(Refused):
    code = "forbidden"


class MissingValue(UpstreamFailed):
    code = "missing_claim"
