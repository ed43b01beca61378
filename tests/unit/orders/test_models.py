"""The state machine, as a table and under any sequence of commands."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.orders.errors import WrongState
from services.orders.models import NEXT, Status, is_change

LEGAL = {("created", "paid"), ("created", "cancelled"), ("paid", "shipped"), ("paid", "cancelled")}
PAIRS = [(current, target) for current in Status for target in Status]


@pytest.mark.parametrize(("current", "target"), PAIRS)
def test_exactly_the_legal_changes_are_made(current: Status, target: Status) -> None:
    """A legal change is one, staying is none, and all else is refused with both states named."""
    if current == target:
        assert not is_change(current, target)
    elif (current, target) in LEGAL:
        assert is_change(current, target)
    else:
        with pytest.raises(WrongState, match=f"{current} cannot become {target}") as refused:
            is_change(current, target)
        assert refused.value.status == 409


@given(st.lists(st.sampled_from([Status.PAID, Status.SHIPPED, Status.CANCELLED])))
def test_no_sequence_of_commands_leaves_the_legal_paths(targets: list[Status]) -> None:
    """Whatever is asked in whatever order, each step taken is a legal one, and none is taken twice."""
    path = [Status.CREATED]
    for target in targets:
        try:
            if is_change(path[-1], target):
                path.append(target)
        except WrongState:
            pass
    assert set(pairwise(path)) <= LEGAL
    assert len(path) == len(set(path))


def test_every_status_says_where_it_leads() -> None:
    """A status added later cannot be forgotten."""
    assert NEXT.keys() == set(Status)
