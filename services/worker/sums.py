"""Revenue in the tables of sums, which has no largest value.

The bigint column `revenue` has it up to `MOST`, either side of zero; the numeric column `revenue_beyond` has the rest.
These are two columns because the release before reads and writes the first one alone. Once none does, one numeric
column is enough. Numbers of orders and items need none of this: a bigint overflows after 10¹³ of the largest orders.
"""

MOST = 9 * 10**18
"""A little less than a bigint holds, so that the release before can still add to it."""
REVENUE = "(revenue + revenue_beyond)"
"""SQL for the revenue of a row."""


def parts(revenue: str) -> tuple[str, str]:
    """SQL for both columns, of SQL for a numeric."""
    within = f"greatest(least({revenue}, {MOST}), -{MOST})"
    return within, f"{revenue} - {within}"


def added(table: str) -> tuple[str, str]:
    """SQL for both columns after a conflict: what `table` has, and what would have been inserted."""
    return parts(f"({table}.revenue + {table}.revenue_beyond + excluded.revenue + excluded.revenue_beyond)")
