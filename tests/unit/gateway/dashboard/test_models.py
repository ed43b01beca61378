"""The query of a dashboard, and its assembly from results and last known good values."""

from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.api.dashboard import whose
from services.gateway.catalog.catalog import load
from services.gateway.catalog.document import InvalidPanelsFile
from services.gateway.dashboard.models import (
    MAX_BUDGET_MS,
    MIN_BUDGET_MS,
    Dashboard,
    Remembered,
    assemble,
    parse,
    wants_no_cache,
)
from services.gateway.dashboard.wait import RECALL_SHARE, recall_time
from services.gateway.errors import UserNotFound
from services.gateway.settings import PANELS_FILE
from services.gateway.upstream.panel_protocol import Answer
from shared.errors import InvalidInput
from shared.http.identity import Caller
from tests.support.gateway.declared import PANELS

SOMEBODY = UUID(int=1)
NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
GOOD = Answer(b'{"a": 1}')
LATE = Answer(error="timeout")


def assembled(answers: dict[str, Answer], remembered: dict[str, Remembered] | None = None) -> Dashboard:
    return assemble(str(SOMEBODY), NOW, answers, remembered or {})


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


ME, OTHER = UUID(int=1), UUID(int=2)


@given(st.integers(MIN_BUDGET_MS, MAX_BUDGET_MS))
def test_a_budget_within_bounds_is_taken(budget_ms: int) -> None:
    """Every whole number within the bounds is a budget."""
    assert parse(f"budget_ms={budget_ms}".encode(), PANELS, 1000).budget_ms == budget_ms


@given(st.text(max_size=20).filter(lambda told: not (told.isascii() and told.isdigit() and 10 <= int(told) <= 10_000)))
def test_every_other_budget_is_refused(told: str) -> None:
    """Nothing else is, and nothing breaks."""
    with pytest.raises(InvalidInput):
        parse(urlencode({"budget_ms": told}).encode(), PANELS, 1000)


def test_without_a_wish_the_defaults_hold() -> None:
    """All panels, and the budget of the settings."""
    wish = parse(b"", PANELS, 700)
    assert (len(wish.panels), wish.budget_ms) == (len(PANELS), 700)


def test_one_sees_ones_own() -> None:
    """With one's id or without, whatever one's role."""
    caller = Caller(ME, "user")
    assert whose(None, caller) == whose(ME, caller) == ME


def test_only_operators_see_others() -> None:
    """For everybody else, others do not exist."""
    assert whose(OTHER, Caller(ME, "support")) == OTHER
    with pytest.raises(UserNotFound):
        whose(OTHER, Caller(ME, "user"))


@pytest.mark.parametrize("urls", ["", "localhost:8000", "http://a,", "http://a,ftp://b"])
def test_base_urls_must_be_urls(urls: str) -> None:
    """A list of services that is none is refused at start."""
    with pytest.raises(InvalidPanelsFile, match="base URLs"):
        load(PANELS_FILE, urls={"users": urls})


@pytest.mark.parametrize(
    ("told", "no_cache"),
    [
        (None, False),
        (b"", False),
        (b"max-age=10", False),
        (b"s-max-age=0", False),
        (b"no-cache", True),
        (b"No-Cache, no-store", True),
        (b"private,max-age=0", True),
        (b"max-age = 0", True),
    ],
)
def test_who_wants_no_cache_says_so(told: bytes | None, no_cache: bool) -> None:
    """By `no-cache` or `max-age=0`, and by nothing else."""
    assert wants_no_cache(told) is no_cache
