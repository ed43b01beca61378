"""REST panels: the URL of a request, and the meaning of a response."""

from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.panels import Panel, Subject
from services.gateway.upstream.errors import (
    BadAnswer,
    Forbidden,
    MissingValue,
    NotTrusted,
    Overloaded,
    Refused,
    UpstreamFailed,
)
from services.gateway.upstream.panel_protocol import USER_MISSING, Answer
from services.gateway.upstream.resilience import MAX_PANEL_BYTES
from services.gateway.upstream.rest import NO_DATA, Reply, interpret, pause_in, target_of


def panel(**more: Any) -> Panel:
    declared: dict[str, Any] = {"timeout_ms": 300, "kind": "object", "protocol": "rest", "get": "/{user_id}"}
    return Panel("loyalty", "crm", **(declared | more))


@given(st.text(min_size=1).filter(lambda value: value not in (".", "..")))
def test_a_value_is_one_segment(value: str) -> None:
    """Whatever it is, it changes neither the path around it nor the query."""
    try:
        target = target_of("/customers/{user_id}/points?for={user_id}", Subject(value))
    except UnicodeEncodeError:
        assert any("\ud800" <= character <= "\udfff" for character in value)
        return
    parts = urlsplit(target.decode())
    before, customer, points = parts.path.split("/")[1:]
    assert (before, unquote(customer), points, unquote(parts.query)) == ("customers", value, "points", f"for={value}")


def test_claims_are_values() -> None:
    subject = Subject("ada", {"customer_no": "7/8"})
    assert target_of("/{claim:customer_no}/{user_id}", subject) == b"/7%2F8/ada"


@pytest.mark.parametrize("value", ["", ".", ".."])
def test_values_that_would_change_the_path_are_refused(value: str) -> None:
    with pytest.raises(MissingValue):
        target_of("/customers/{user_id}", Subject(value))
    with pytest.raises(MissingValue):
        target_of("/customers/{claim:no}", Subject("ada", {"no": value}))


def test_a_missing_claim_is_refused() -> None:
    with pytest.raises(MissingValue, match="claim:no"):
        target_of("/customers/{claim:no}", Subject("ada"))


@pytest.mark.parametrize(
    ("status", "body", "answer"),
    [
        (200, b'{"points": 7}', Answer(b'{"points": 7}')),
        (201, b' {"points": 7}\n', Answer(b'{"points": 7}')),
        (200, b"null", NO_DATA),
        (204, b"", NO_DATA),
        (205, b"", NO_DATA),
        (404, b"anything", NO_DATA),
        (200, b"[]", Refused),
        (200, b'"text"', Refused),
        (200, b"", BadAnswer),
        (200, b"<html>", BadAnswer),
        (200, b'{"points": 7', BadAnswer),
        (200, b'{"points": 7} {}', BadAnswer),
        (200, b'{"points": NaN}', BadAnswer),
        (200, b'{"points": "\xff"}', BadAnswer),
        (200, b'{"a":' * 100_000, BadAnswer),
        (200, b'{"a":"%b"}' % (b"x" * MAX_PANEL_BYTES), Refused),
        (301, b"", Refused),
        (302, b'{"points": 7}', Refused),
        (304, b"", Refused),
        (400, b"{}", Refused),
        (401, b"{}", NotTrusted),
        (403, b"{}", NotTrusted),
        (429, b"{}", Overloaded),
        (500, b"{}", BadAnswer),
        (503, b"{}", BadAnswer),
        (599, b"{}", BadAnswer),
    ],
)
def test_what_a_response_means(status: int, body: bytes, answer: Answer | type[UpstreamFailed]) -> None:
    """A panel, no data, or a failure. Of failures, `Refused` says that the service is healthy."""
    assert outcome(panel(), Reply(status, body)) == answer


def outcome(asked: Panel, reply: Reply, **more: bool) -> Answer | type[UpstreamFailed]:
    try:
        return interpret(asked, reply, **more)
    except UpstreamFailed as failure:
        return type(failure)


def test_a_service_that_knows_all_users() -> None:
    """Its 404 says that there is no such user."""
    assert interpret(panel(knows_users=True), Reply(404, b"")) == USER_MISSING


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_of_forwarded_credentials_is_about_the_caller(status: int) -> None:
    assert outcome(panel(), Reply(status, b""), forwarded=True) is Forbidden


@pytest.mark.parametrize(
    ("pick", "body", "found"),
    [
        (("data", "points"), b'{"data": {"points": {"a": 1}}}', Answer(b'{"a": 1}')),
        (("data", "1"), b'{"data": [[], {"a": 1}]}', Answer(b'{"a": 1}')),
        (("",), b'{"": {}}', Answer(b"{}")),
        (("data",), b'{"data": null}', NO_DATA),
        (("data",), b'{"date": {}}', Refused),
        (("data", "2"), b'{"data": [[], {}]}', Refused),
        (("data", "-"), b'{"data": [[], {}]}', Refused),
        (("data", "x"), b'{"data": 5}', Refused),
        (("data", "x"), b'{"data": "x"}', Refused),
        (("data",), b'{"data": [1]}', Refused),
    ],
)
def test_a_part_of_a_response(pick: tuple[str, ...], body: bytes, found: Answer | type[UpstreamFailed]) -> None:
    """By a JSON pointer."""
    assert outcome(panel(pick=pick), Reply(200, body)) == found


@pytest.mark.parametrize(
    ("told", "seconds"),
    [("", 1), ("0", 0), ("7", 7), ("12345678", 12345678), ("-1", 1), ("1.5", 1), ("Wed, 21 Oct 2026 07:28:00 GMT", 1)],
)
def test_how_long_a_service_asks_to_be_left_alone(told: str, seconds: float) -> None:
    assert pause_in(told) == seconds
