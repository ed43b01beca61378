"""What a message of the live feed changes."""

import msgspec
import pytest

from services.gateway.live.feed import UnreadableChange, read_changes, touched_by_events
from shared.contracts import events, topology
from shared.ids import new_id
from tests.support.gateway.declared import PANELS

TOUCHED = touched_by_events(PANELS)


def test_every_event_touches_the_panels_that_declare_it() -> None:
    """No panel waits for an event that there is not; an event that none declares drops nothing."""
    assert {event for panel in PANELS for event in panel.changed_by} <= set(events.EVENTS)
    for name in events.EVENTS:
        touched = tuple(panel.name for panel in PANELS if name in panel.changed_by)
        assert TOUCHED[name] == (None if name == "user.deleted" else touched)


def test_an_event_is_about_its_subject() -> None:
    """The user is the message's subject, the panels are those declared for its type."""
    user_id = new_id()
    [change] = read_changes(TOUCHED, topology.EVENTS, "order.paid", {"subject": str(user_id)}, b"{}")
    assert (change.user_id, change.panels) == (user_id, ("orders",))


@pytest.mark.parametrize("kind", ["user.deleted", "planet.discovered"])
def test_an_event_may_touch_everything(kind: str) -> None:
    """A deletion does, and an event that is not declared might."""
    [change] = read_changes(TOUCHED, topology.EVENTS, kind, {"subject": str(new_id())}, b"{}")
    assert change.panels is None


def test_a_hint_names_its_panels() -> None:
    """Fields that are not known are left alone."""
    user_id = new_id()
    body = msgspec.json.encode({"user_id": user_id, "panels": ["analytics"], "import": 1})
    [change] = read_changes(TOUCHED, topology.LIVE, "hint", {}, body)
    assert (change.user_id, change.panels) == (user_id, ("analytics",))


def test_a_message_may_have_hints_of_many_users() -> None:
    hints = [{"user_id": new_id(), "panels": panels} for panels in (["analytics"], ["notifications", "analytics"])]
    changes = read_changes(TOUCHED, topology.LIVE, "hint", {}, msgspec.json.encode(hints))
    assert [{"user_id": change.user_id, "panels": list(change.panels or ())} for change in changes] == hints


@pytest.mark.parametrize(
    ("exchange", "headers", "body"),
    [
        (topology.EVENTS, {}, b"{}"),
        (topology.EVENTS, {"subject": "nobody"}, b"{}"),
        (topology.LIVE, {}, b"rubbish"),
        (topology.LIVE, {}, b'{"panels": ["user"]}'),
        (topology.LIVE, {}, b'[{"panels": ["user"]}]'),
        (topology.LIVE, {}, b"[" * 100_000),
    ],
)
def test_what_names_nobody_is_unreadable(exchange: str, headers: dict[str, str], body: bytes) -> None:
    """Whoever listens must then think anything possible."""
    with pytest.raises(UnreadableChange):
        read_changes(TOUCHED, exchange, "order.paid", headers, body)
