"""What is written to Redis again, and when."""

from services.gateway.dashboard.stale_store import Written
from shared.ids import new_id

KEY = "orders", str(new_id())


def test_a_panel_is_written_when_it_changed_or_after_a_while() -> None:
    """An unchanged panel waits until its last write is old enough; a changed one does not."""
    written = Written(max_noted=10, rewrite_ms=1000)
    assert written.is_due(KEY, b"[1]", 0)
    assert not written.is_due(KEY, b"[1]", 999)
    assert written.is_due(KEY, b"[2]", 999)
    assert not written.is_due(KEY, b"[2]", 1998)
    assert written.is_due(KEY, b"[2]", 1999)


def test_what_was_lost_is_written_again() -> None:
    """Forgetting one, or all, makes them due."""
    written = Written(max_noted=10, rewrite_ms=1000)
    written.is_due(KEY, b"[1]", 0)
    written.forget(KEY)
    assert written.is_due(KEY, b"[1]", 1)
    written.clear()
    assert written.is_due(KEY, b"[1]", 2)


def test_a_clock_that_was_set_back_holds_no_write_back() -> None:
    """A last write in the future counts as none."""
    written = Written(max_noted=10, rewrite_ms=1000)
    written.is_due(KEY, b"[1]", 10_000)
    assert written.is_due(KEY, b"[1]", 0)


def test_no_more_is_noted_than_allowed() -> None:
    """Of more panels than that, the ones written longest ago are due sooner than they need be."""
    written = Written(max_noted=3, rewrite_ms=1000)
    keys = [("orders", str(new_id())) for _ in range(5)]
    for key in keys:
        written.is_due(key, b"[1]", 0)
    assert len(written) == 3
    assert written.is_due(keys[0], b"[1]", 1)
    assert not written.is_due(keys[4], b"[1]", 1)
