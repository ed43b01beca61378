"""Cells of the CSV files that people download and open in a spreadsheet."""

import re

BYTE_ORDER_MARK = "\ufeff".encode()
"""At the beginning of a file; without it Excel does not read UTF-8."""

WHITE_SPACE = "".join(f"\\u{code:04x}" for code in range(0x3001) if chr(code).isspace())
SIGNS = "".join(f"\\u{ord(sign):04x}" for sign in "=+-@\uff1d\uff0b\uff0d\uff20\ufe66\ufe62\ufe63\ufe6b")
"""What a formula begins with; East Asian versions of spreadsheets read the wide and small forms alike."""
BREAKS = r"\t\r\n"
FORMULA = rf"^(?=[{WHITE_SPACE}]*[{SIGNS}]|[{BREAKS}])|(?<=[;{BREAKS}])(?=[{WHITE_SPACE}]*[{SIGNS}])"
"""Where a formula begins, for Python and Postgres. Spreadsheets that separate cells by semicolons or tabs cut a text
there as well, and then a quotation mark holds no lines together."""
_FORMULA = re.compile(FORMULA)


def formula_safe(text: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula: a `'` before what begins like one, also after white
    space and in the second item of a list."""
    return _FORMULA.sub("'", text)


def formula_safe_sql(expression: str) -> str:
    """SQL for the text as `formula_safe` writes it."""
    return f"regexp_replace({expression}, '{FORMULA}', '''', 'g')"
