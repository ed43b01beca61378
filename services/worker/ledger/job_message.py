"""A message as the ledger takes it: with an identity even when nobody can read it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from shared.contracts import events

MAX_TYPE = 100


@dataclass(frozen=True, slots=True)
class JobMessage:
    """`content` is the event, or why there is none."""

    event_id: UUID
    headers: Mapping[str, Any]
    body: bytes
    content: events.Envelope | events.UnreadableEvent

    @classmethod
    def read(cls, headers: Mapping[str, Any], body: bytes, message_id: str | None) -> "JobMessage":
        try:
            envelope = events.decode(headers, body)
        except events.UnreadableEvent as unreadable:
            return cls(_id_of_unreadable(message_id, body), headers, body, unreadable)
        return cls(envelope.id, headers, body, envelope)

    @classmethod
    def kept(cls, event_id: UUID, headers_json: str | None, body: bytes | None) -> "JobMessage":
        """A message out of the ledger; what is left of one that is no longer whole is unreadable."""
        if headers_json is None or body is None:
            return cls(event_id, {}, body or b"", events.UnreadableEvent("the ledger has lost the message"))
        return cls.read(json.loads(headers_json), body, str(event_id))

    @property
    def envelope(self) -> events.Envelope:
        """Raises `UnreadableEvent`."""
        if isinstance(self.content, events.UnreadableEvent):
            raise self.content
        return self.content

    @property
    def is_readable(self) -> bool:
        return isinstance(self.content, events.Envelope)

    @property
    def user_id(self) -> UUID | None:
        """Of an unreadable message, whom its headers name."""
        if isinstance(self.content, events.Envelope):
            return self.content.event.user_id
        try:
            return UUID(str(self.headers.get("subject")))
        except ValueError:
            return None

    @property
    def traceparent(self) -> str | None:
        return self.content.traceparent if isinstance(self.content, events.Envelope) else None

    @property
    def event_type(self) -> str:
        return storable(str(self.headers.get("type", "")), MAX_TYPE)

    @property
    def headers_json(self) -> str:
        return json.dumps(dict(self.headers), default=str)


def _id_of_unreadable(message_id: str | None, body: bytes) -> UUID:
    try:
        return UUID(message_id or "")
    except ValueError:
        return uuid5(NAMESPACE_OID, f"{message_id}\n{body.hex()}")


def storable(text: str, limit: int) -> str:
    """Without NUL and lone surrogates, which Postgres refuses, and no longer than `limit`."""
    return text[:limit].replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
