"""Cells of the CSV files that people download."""

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def formula_safe(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula: a quote before what begins like one, also after
    white space."""
    if text.startswith(FORMULA_STARTS) or text.lstrip().startswith(FORMULA_STARTS):
        return "'" + text
    return text
