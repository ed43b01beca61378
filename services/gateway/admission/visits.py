"""One request, as far as limits are concerned. What is known of it stands in its scope: an object of its own would cost
every dashboard a microsecond."""

from contextvars import ContextVar

from starlette.types import Scope

KIND = "limits.kind"
"""The class of the route; absent for probes."""
COUNTED = "limits.counted"
"""There once the request has been counted against somebody."""
HEADERS = "limits.headers"
"""What the answer says of the limit."""
REFUND = "limits.refund"
"""What a login gives back when it succeeds: a key, and the seconds of its window."""

current_scope: ContextVar[Scope | None] = ContextVar("current_scope", default=None)
"""The request that is being answered, so that no route can forget to count its caller."""
