"""The format of figures, and the place to which they are written."""

import math

import pytest

from tools.lab.bench import report
from tools.lab.bench.report import ratios, spread, table, with_block
from tools.lab.bench.system import quantile


def test_a_spread_shows_its_median_and_its_range() -> None:
    """A figure is always shown with its lowest and highest value. A window without any response is ignored."""
    assert spread([3.0, 1.0, 2000.0, math.nan]).show(1) == "3.0 (1.0–2,000.0)"  # noqa: RUF001
    assert spread([]).show() == "–"  # noqa: RUF001


def test_ratios_are_of_the_same_round() -> None:
    """The figures of each round are divided, so that a slower machine affects both sides."""
    assert ratios([1, 4], [2, 4]).values == (0.5, 1.0)


def test_a_block_of_the_page_is_replaced() -> None:
    """Only the content of the named block changes; a page without it is an error."""
    page = "before\n<!-- bench:a -->\nold\n<!-- /bench -->\n<!-- bench:b -->\nstays\n<!-- /bench -->\n"
    assert with_block(page, "a", r"new \1") == page.replace("old", "\nnew \\1\n")
    with pytest.raises(LookupError):
        with_block(page, "c", "")


def test_the_page_has_a_block_for_every_benchmark() -> None:
    """Every benchmark has a block on the page."""
    from tools.lab.bench.__main__ import NAMES

    page = report.PAGE.read_text()
    for name in NAMES:
        with_block(page, name, "")


def test_a_table_is_markdown() -> None:
    """The table has a head, a line, and the rows."""
    assert table(["", "x"], [["a", "1"]]) == "|  | x |\n| --- | --- |\n| a | 1 |"


def test_a_quantile_is_one_of_the_values() -> None:
    """The quantile is the smallest value that at least this share of the values does not exceed."""
    assert quantile([4, 1, 3, 2], 0.5) == 2
    assert quantile([4, 1, 3, 2], 0.95) == 4
