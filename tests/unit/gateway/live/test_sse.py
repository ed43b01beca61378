"""Events as bytes, and the ids by which a reader comes back."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.dashboard.models import PanelError, PanelView
from services.gateway.live import sse


def _view(data: str, age_ms: int = 0) -> PanelView:
    return PanelView("fresh", age_ms, msgspec.Raw(data.encode()))


def test_a_panel_stays_one_line_of_data() -> None:
    """However its JSON is laid out."""
    news = sse.panel_news("orders", 1, _view('[\n  {"id":\r\n "1"}\n]'))
    assert news.frame.count(b"\n") == 3
    shown = msgspec.json.decode(news.frame.split(b"data: ")[1])
    assert shown == {"panel": "orders", "status": "fresh", "age_ms": 0, "data": [{"id": "1"}]}


def test_digests_tell_views_apart_by_what_is_seen() -> None:
    """Age makes no difference; data, status and reason do."""
    seen = sse.digest(_view("[1]"))
    assert seen == sse.digest(_view("[1]", age_ms=900))
    stale = PanelView("stale", 900, msgspec.Raw(b"[1]"), PanelError("timeout", retryable=True))
    away = PanelView("stale", 900, msgspec.Raw(b"[1]"), PanelError("connect", retryable=True))
    assert len({seen, sse.digest(_view("[2]")), sse.digest(stale), sse.digest(away)}) == 4


def test_an_id_says_what_its_reader_has() -> None:
    digests = {"user": sse.digest(_view("{}")), "orders": sse.digest(_view("[]"))}
    told = sse.with_id(digests, sse.ready()).split(b"\n")[0].removeprefix(b"id: ").decode()
    assert sse.read_id(told) == digests


@given(st.text(max_size=2000))
def test_an_odd_id_says_little_and_breaks_nothing(told: str) -> None:
    known = sse.read_id(told)
    assert all(len(digest) == 12 for digest in known.values())
