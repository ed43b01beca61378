"""One request, as far as limits are concerned, from its arrival to the head of its answer."""

from contextvars import ContextVar

from starlette.types import Scope

from services.gateway.admission.addresses import ClientAddresses
from services.gateway.admission.kinds import Kind
from services.gateway.admission.policy import Header


class Visit:
    """`is_counted`: whether it has been counted against somebody. `headers`: what the answer will say of the limit.
    `refund`: what a login gives back when it succeeds, a key and the seconds of its window."""

    __slots__ = ("_addresses", "_scope", "headers", "is_counted", "kind", "refund")

    def __init__(self, kind: Kind, scope: Scope, addresses: ClientAddresses) -> None:
        self.kind: Kind = kind
        self.is_counted = False
        self.headers: tuple[Header, ...] = ()
        self.refund: tuple[str, int] | None = None
        self._scope = scope
        self._addresses = addresses

    @property
    def party(self) -> str:
        """The address that it is counted against while nobody knows its user."""
        return self._addresses.party(self._scope)


current_visit: ContextVar[Visit | None] = ContextVar("current_visit", default=None)
"""Set for every request but probes, so that no route can forget to count its caller."""
