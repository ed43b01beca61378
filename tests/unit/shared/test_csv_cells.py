"""A cell of a downloaded CSV cannot start a formula."""

import pytest

from shared.csv_cells import formula_safe


@pytest.mark.parametrize(
    "text", ["=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "  =1+1", "\n=1", "\u00a0@x"]
)
def test_a_quote_goes_before_what_begins_like_a_formula(text: str) -> None:
    assert formula_safe(text) == "'" + text


@pytest.mark.parametrize("text", ["", "tea", "1", "a=b", "'=1", " tea - green", "(=1)"])
def test_other_text_stays_as_it_is(text: str) -> None:
    assert formula_safe(text) == text
