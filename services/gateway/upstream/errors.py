"""Why a service gave no answer that can be used.

UpstreamFailed
├── NotAsked          nothing was sent
│   ├── CircuitOpen   it has not been answering well; it is left alone for a while
│   ├── Overloaded    as many calls to it are under way as may be
│   └── Unreachable   no connection
├── TooLate           no answer in time
└── BadAnswer         an answer that cannot be used, or half of one
    └── Refused       4xx: the service is well, and did not like the question
        └── NotTrusted    it does not take the gateway's own token or word
"""

from typing import ClassVar, Literal

ErrorCode = Literal["timeout", "connect", "bad_response", "circuit_open", "overloaded", "internal"]
"""Why a panel is not fresh, as clients are told."""


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
