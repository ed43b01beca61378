"""Choosing panels, and telling an answer from something else."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.dashboard.models import Answer
from services.gateway.panels import BAD_PANEL, PANELS, USER_MISSING, MalformedAnswer, read_answers, select
from shared.errors import InvalidInput

USER, ORDERS = PANELS[0], PANELS[1]
ADA, BOB, NOBODY = (str(UUID(int=number)) for number in range(3))
LIMIT = 100
NAMES = [panel.name for panel in PANELS]


def test_all_panels_when_none_are_named() -> None:
    """No wish is a wish for everything."""
    assert select(None, "user") == list(PANELS)


@given(st.lists(st.sampled_from(NAMES), min_size=1))
def test_the_order_is_the_declared_one(names: list[str]) -> None:
    """However they are asked for, panels keep their order and appear once."""
    assert [panel.name for panel in select(names, "user")] == [name for name in NAMES if name in names]


@given(st.lists(st.text(max_size=20), min_size=1).filter(lambda names: not set(names) <= set(NAMES)))
def test_an_unknown_panel_is_refused(names: list[str]) -> None:
    """One name that is none refuses the whole wish, naming the field."""
    with pytest.raises(InvalidInput) as refused:
        select(names, "user")
    assert refused.value.errors is not None
    assert refused.value.errors[0]["field"] == "panels"


def body_of(items: dict[str, bytes], missing: list[str] | None = None) -> bytes:
    parts = b",".join(b'"%s":%s' % (user_id.encode(), panel) for user_id, panel in items.items())
    return b'{"items": {%s}, "missing": %s}' % (parts, json.dumps(missing or []).encode())


def codes(answers: list[Answer]) -> list[str]:
    return [answer.error if answer.data is None else "" for answer in answers]


def test_the_panel_stays_as_it_came() -> None:
    """The bytes of a panel are not written anew."""
    (answer,) = read_answers(ORDERS, [ADA], body_of({ADA: b"[1,  2.50]"}), LIMIT)
    assert answer.data is not None
    assert bytes(answer.data) == b"[1,  2.50]"


def test_only_the_users_service_decides_who_exists() -> None:
    """Missing for the user panel is a fact; missing for another is an answer that cannot be used."""
    body = body_of({}, missing=[ADA])
    assert read_answers(USER, [ADA], body, LIMIT) == [USER_MISSING]
    assert read_answers(ORDERS, [ADA], body, LIMIT) == [BAD_PANEL]


@pytest.mark.parametrize(
    "bad", [b"{}", b"null", b'"[]"', b'["\xff"]', b"[" + b" " * LIMIT + b"]"], ids=lambda bad: repr(bad)[:20]
)
def test_a_bad_panel_costs_one_user_only(bad: bytes) -> None:
    """Of the wrong type, no UTF-8, or too large: the others of the same answer are good, in the order asked."""
    body = body_of({BOB: bad, ADA: b'["\xc3\xa9"]'})
    assert codes(read_answers(ORDERS, [ADA, BOB, NOBODY], body, LIMIT)) == ["", "bad_response", "bad_response"]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Anything that is no answer is refused as such."""
    with pytest.raises(MalformedAnswer):
        read_answers(USER, [ADA], body, LIMIT)
