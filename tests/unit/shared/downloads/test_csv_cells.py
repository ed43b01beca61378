"""A cell of a downloaded CSV cannot start a formula."""

import pytest

from shared.downloads.csv_export import formula_safe

FORMULAS = (
    *("=cmd|'/c calc'!A1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "  =1+1", "\n=1", "\u00a0@x"),
    *("\uff1d1", "\uff0b1", "\uff0d1", "\uff20SUM(A1)", " \uff1d1", "\ufe661"),
)


@pytest.mark.parametrize("text", FORMULAS)
def test_a_quote_goes_before_what_begins_like_a_formula(text: str) -> None:
    assert formula_safe(text).startswith("'" + text[0])


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("tea; =1", "tea;' =1"),
        ("tea;\uff1d1", "tea;'\uff1d1"),
        ("tea\t=1", "tea\t'=1"),
        ("tea\n=1", "tea\n'=1"),
        ("\t=1", "'\t'=1"),
        ("=1;+2", "'=1;'+2"),
    ],
)
def test_a_quote_goes_before_each_part_that_begins_like_a_formula(text: str, written: str) -> None:
    """Spreadsheets that separate cells by semicolons or tabs make a cell of each part."""
    assert formula_safe(text) == written


@pytest.mark.parametrize(
    "text", ["", "tea", "1", "a=b", "'=1", " tea - green", "(=1)", "tea; 1", "tea, =1", "5 - 3; a=b"]
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert formula_safe(text) == text
