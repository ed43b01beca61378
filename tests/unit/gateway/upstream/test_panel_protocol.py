"""Telling an answer from something else."""

import json
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.panels import Panel
from services.gateway.upstream.panel_protocol import (
    BAD_PANEL,
    USER_MISSING,
    Answer,
    MalformedAnswer,
    read_answers,
)
from shared.contracts.panels import encode_query, read_panels_query
from tests.support.gateway.declared import PANELS

USER, ORDERS, NOTIFICATIONS, ANALYTICS, *_ = PANELS
ADA, BOB, NOBODY = (str(UUID(int=number)) for number in range(3))
LIMIT = 100


def part_of(items: Mapping[str, bytes], missing: Sequence[str] = ()) -> bytes:
    parts = b",".join(b'"%s": %s' % (user_id.encode(), panel) for user_id, panel in items.items())
    return b'{"items": {%s}, "missing": %s}' % (parts, json.dumps(list(missing)).encode())


def body_of(**panels: bytes) -> bytes:
    return b'{"panels": {%s}}' % b",".join(b'"%s": %s' % (name.encode(), part) for name, part in panels.items())


def read(panel: Panel, user_ids: Sequence[str], part: bytes) -> list[Answer]:
    return read_answers([panel], user_ids, body_of(**{panel.name: part}), LIMIT)[panel.name]


def codes(answers: Sequence[Answer]) -> list[str]:
    return [answer.error if answer.data is None else "" for answer in answers]


def test_the_panel_stays_as_it_came() -> None:
    """The bytes of a panel are not written anew."""
    assert read(ORDERS, [ADA], part_of({ADA: b"[1,  2.50]"})) == [Answer(b"[1,  2.50]")]


def test_a_query_is_read_by_services_as_it_was_meant() -> None:
    """Panels and users, in their order."""
    query = read_panels_query(encode_query([NOTIFICATIONS.name, ANALYTICS.name], [BOB, ADA]))
    assert query.panels == ["notifications", "analytics"]
    assert list(map(str, query.ids)) == [BOB, ADA]


def test_each_panel_has_its_answers_in_the_order_of_the_users() -> None:
    """Whatever order they come in, and whatever else comes with them."""
    body = body_of(
        orders=part_of({ADA: b"[7]"}),
        analytics=part_of({BOB: b'{"b":1}', ADA: b'{"a":1}'}),
        notifications=part_of({NOBODY: b"[0]", ADA: b"[1]", BOB: b"[2]"}),
    )
    assert read_answers([NOTIFICATIONS, ANALYTICS], [ADA, BOB], body, LIMIT) == {
        "notifications": [Answer(b"[1]"), Answer(b"[2]")],
        "analytics": [Answer(b'{"a":1}'), Answer(b'{"b":1}')],
    }


@pytest.mark.parametrize(
    ("part", "code"),
    [(b'{"error": "timeout"}', "timeout"), (b'{"error": "internal", "items": {}}', "bad_response")],
    ids=["timeout", "internal"],
)
def test_a_panel_with_an_error_costs_the_others_nothing(part: bytes, code: str) -> None:
    """All of its users are told why."""
    body = body_of(notifications=part, analytics=part_of({ADA: b"{}", BOB: b"{}"}))
    answers = read_answers([NOTIFICATIONS, ANALYTICS], [ADA, BOB], body, LIMIT)
    assert codes(answers["notifications"]) == [code, code]
    assert answers["analytics"] == [Answer(b"{}"), Answer(b"{}")]


def test_a_panel_that_is_not_there_is_a_bad_one() -> None:
    """For all of its users, and for no other panel."""
    answers = read_answers([NOTIFICATIONS, ANALYTICS], [ADA], body_of(analytics=part_of({ADA: b"{}"})), LIMIT)
    assert answers == {"notifications": [BAD_PANEL], "analytics": [Answer(b"{}")]}


def test_only_the_users_service_decides_who_exists() -> None:
    """Missing for the user panel is a fact; missing for another is an answer that cannot be used."""
    part = part_of({}, missing=[ADA])
    assert read(USER, [ADA, BOB], part) == [USER_MISSING, BAD_PANEL]
    assert read(ORDERS, [ADA], part) == [BAD_PANEL]


@pytest.mark.parametrize(
    "bad", [b"{}", b"null", b'"[]"', b'["\xff"]', b"[" + b" " * LIMIT + b"]"], ids=lambda bad: repr(bad)[:20]
)
def test_a_bad_panel_costs_one_user_only(bad: bytes) -> None:
    """Of the wrong type, no UTF-8, or too large: the others of the same answer are good, in the order asked."""
    part = part_of({BOB: bad, ADA: b'["\xc3\xa9"]'})
    assert codes(read(ORDERS, [ADA, BOB, NOBODY], part)) == ["", "bad_response", "bad_response"]


def test_a_panel_may_be_as_large_as_allowed() -> None:
    """And not a byte larger."""
    largest = b"[" + b" " * (LIMIT - 2) + b"]"
    assert codes(read(ORDERS, [ADA, BOB], part_of({ADA: largest, BOB: largest + b" "}))) == ["", ""]
    assert codes(read(ORDERS, [ADA], part_of({ADA: b"[ " + largest[1:]}))) == ["bad_response"]


def test_an_answer_does_not_keep_the_whole_body() -> None:
    """What is kept of it is its own."""
    [answer] = read(ORDERS, [ADA], part_of({ADA: b"[1]"}))
    assert type(answer.data) is bytes


SOUND = body_of(orders=part_of({ADA: b"[1]"}))


@pytest.mark.parametrize(
    "body",
    [
        *(SOUND[:end] for end in range(len(SOUND))),
        SOUND + b"}",
        SOUND.replace(b"[1]", b"[1"),
        SOUND.replace(b"[1]", b"[01]"),
        SOUND.replace(b"[1]", b"[NaN]"),
        b'{"panels": null}',
        b'{"panels": {"orders": []}}',
        b'{"panels": {"orders": {"items": []}}}',
        b'{"panels": {"orders": {"missing": [1]}}}',
        b'{"panels": {"orders": {"error": 1}}}',
        b'{"panels": {"\xff": {}}}',
        b'{"items": {}}',
        b"[" * 20_000,
        b'{"panels": {"orders": {"items": {"a": ' + b"[" * 20_000,
    ],
    ids=lambda body: repr(body[:60]),
)
def test_what_says_nothing_as_a_whole_is_malformed(body: bytes) -> None:
    """Cut off, broken within a panel, of another form, or nested beyond reading."""
    with pytest.raises(MalformedAnswer):
        read_answers([ORDERS], [ADA], body, LIMIT)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Anything that is no answer is refused as such."""
    with pytest.raises(MalformedAnswer):
        read_answers([USER], [ADA], body, LIMIT)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([ADA, BOB, NOBODY]), JSON), st.sampled_from(PANELS))
def test_what_is_taken_is_sound(items: dict[str, Any], panel: Panel) -> None:
    """Every user has an answer; what is taken is the panel of that user, an object or a list as the panel is."""
    answers = read(panel, [ADA, BOB, NOBODY], part_of({key: json.dumps(one).encode() for key, one in items.items()}))
    for user_id, answer in zip([ADA, BOB, NOBODY], answers, strict=True):
        wanted = dict if panel.kind == "object" else list
        if isinstance(items.get(user_id), wanted) and len(json.dumps(items[user_id])) <= LIMIT:
            assert answer.data is not None
            assert json.loads(answer.data) == items[user_id]
        else:
            assert answer == BAD_PANEL
