"""Why a service gave no usable response.

UpstreamFailed
├── NotAsked          no request was sent
│   ├── CircuitOpen   too many recent failures; calls are suspended
│   ├── Overloaded    too many calls to it are in flight
│   └── Unreachable   no connection
├── TooLate           no response in time
└── BadAnswer         an invalid or truncated response
    └── Refused       4xx: the service is healthy and rejects the request
        └── NotTrusted    it rejects the gateway's own token or identity
"""

from typing import ClassVar, Literal

ErrorCode = Literal["timeout", "connect", "bad_response", "circuit_open", "overloaded", "internal"]
"""Why a panel is not fresh, as clients see it."""


class UpstreamFailed(Exception):
    code: ClassVar[ErrorCode]


class NotAsked(UpstreamFailed):
    pass


class CircuitOpen(NotAsked):
    code = "circuit_open"


class Overloaded(NotAsked):
    code = "overloaded"


class Unreachable(NotAsked):
    code = "connect"


class TooLate(UpstreamFailed):
    code = "timeout"


class BadAnswer(UpstreamFailed):
    code = "bad_response"


class Refused(BadAnswer):
    pass


class NotTrusted(Refused):
    """Never the client's fault: secrets or clocks differ."""
