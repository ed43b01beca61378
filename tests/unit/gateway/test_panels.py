"""Choosing panels, and telling an answer from something else."""

import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.panels import PANELS, MalformedAnswer, UserMissing, read_answer, select
from shared.errors import InvalidInput

USER, ORDERS = PANELS[0], PANELS[1]
SOMEBODY = UUID(int=1)
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


def test_the_panel_stays_as_it_came() -> None:
    """The bytes of a panel are not written anew."""
    body = b'{"items": {"%s": [1,  2.50]}, "missing": []}' % str(SOMEBODY).encode()
    assert bytes(read_answer(ORDERS, SOMEBODY, body)) == b"[1,  2.50]"


def test_only_the_users_service_decides_who_exists() -> None:
    """Missing for the user panel is a fact; missing for another is an answer that cannot be used."""
    body = json.dumps({"items": {}, "missing": [str(SOMEBODY)]}).encode()
    with pytest.raises(UserMissing):
        read_answer(USER, SOMEBODY, body)
    with pytest.raises(MalformedAnswer):
        read_answer(ORDERS, SOMEBODY, body)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Anything that is no answer is refused as such."""
    with pytest.raises(MalformedAnswer):
        read_answer(USER, SOMEBODY, body)
