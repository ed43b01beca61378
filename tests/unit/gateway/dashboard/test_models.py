"""How answers and memories become a dashboard."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.dashboard.models import Dashboard, Remembered, assemble
from services.gateway.dashboard.service import RECALL_SHARE, recall_time
from services.gateway.upstream.panel_protocol import Answer

SOMEBODY = UUID(int=1)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
GOOD = Answer(b'{"a": 1}')
LATE = Answer(error="timeout")


def assembled(answers: dict[str, Answer], remembered: dict[str, Remembered] | None = None) -> Dashboard:
    return assemble(SOMEBODY, NOW, answers, remembered or {})


def test_the_whole_document() -> None:
    """Fresh, stale and unavailable panels look as the API promises, byte for byte."""
    old = Remembered(msgspec.Raw(b"[]"), 5300)
    answers = {"user": GOOD, "orders": LATE, "analytics": Answer(error="internal")}
    assert msgspec.json.encode(assembled(answers, {"orders": old})) == (
        b'{"user_id":"00000000-0000-0000-0000-000000000001","generated_at":"2026-01-31T12:00:00Z","complete":false,'
        b'"panels":{"user":{"status":"fresh","age_ms":0,"data":{"a": 1}},'
        b'"orders":{"status":"stale","age_ms":5300,"data":[],"error":{"code":"timeout","retryable":true}},'
        b'"analytics":{"status":"unavailable","data":null,"error":{"code":"internal","retryable":false}}}}'
    )


def test_a_fresh_panel_is_not_replaced() -> None:
    """What is remembered is for failures only."""
    dashboard = assembled({"user": GOOD}, {"user": Remembered(msgspec.Raw(b"{}"), 1)})
    assert (dashboard.panels["user"].status, dashboard.complete) == ("fresh", True)


def test_empty_is_when_nothing_has_data() -> None:
    """One stale panel is something."""
    assert assembled({"user": LATE, "orders": LATE}).is_empty
    assert not assembled({"user": LATE}, {"user": Remembered(msgspec.Raw(b"{}"), 1)}).is_empty


@given(st.floats(0.01, 10), st.floats(0.001, 1))
def test_looking_back_takes_little_of_the_budget(budget_s: float, longest_s: float) -> None:
    """Neither more than it may, nor more than its share."""
    taken = recall_time(budget_s, longest_s)
    assert 0 < taken <= min(longest_s, budget_s * RECALL_SHARE)
