"""Choosing panels."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.panels import Panel, by_runner, select
from shared.errors import InvalidInput
from tests.support.gateway.declared import PANELS

NAMES = [panel.name for panel in PANELS]


def test_all_panels_when_none_are_named() -> None:
    """No wish is a wish for everything."""
    assert select(None, PANELS) == PANELS


@given(st.lists(st.sampled_from(NAMES), min_size=1))
def test_the_order_is_the_declared_one(names: list[str]) -> None:
    """However they are asked for, panels keep their order and appear once."""
    assert [panel.name for panel in select(names, PANELS)] == [name for name in NAMES if name in names]


@given(st.lists(st.text(max_size=20), min_size=1).filter(lambda names: not set(names) <= set(NAMES)))
def test_an_unknown_panel_is_refused(names: list[str]) -> None:
    """One name that is none refuses the whole wish, naming the field."""
    with pytest.raises(InvalidInput) as refused:
        select(names, PANELS)
    assert refused.value.errors is not None
    assert refused.value.errors[0]["field"] == "panels"


@given(st.lists(st.sampled_from(PANELS), unique=True).map(tuple))
def test_panels_are_grouped_by_service(panels: tuple[Panel, ...]) -> None:
    """Each once, with its own service, in the order in which they were; the services in that of their first panels."""
    groups = by_runner(panels)
    assert sorted((panel.name for _, group in groups for panel in group)) == sorted(panel.name for panel in panels)
    assert all(panel.service == service for service, group in groups for panel in group)
    assert all([panel for panel in panels if panel in group] == list(group) for _, group in groups)
    assert [service for service, _ in groups] == list(dict.fromkeys(panel.service for panel in panels))
