"""Amounts of money: kept in minor units, shown with the decimals of ISO 4217.

`iso_4217.json` is the one table of them, for mails, reports and the page. CLDR, by which browsers and Babel format, has
the digits that are used in cash, and those of 17 currencies differ.
"""

import json
from decimal import Decimal
from importlib.resources import files

MINOR_DIGITS: dict[str, int] = json.loads(files("shared").joinpath("iso_4217.json").read_text())["minor_digits"]
OTHER_DIGITS = 2
"""Of a code that the table does not have: a currency that is no longer used, or a unit of account."""


def minor_digits(currency: str) -> int:
    """How many decimals an amount has: 2 for EUR, 0 for JPY."""
    return MINOR_DIGITS.get(currency, OTHER_DIGITS)


def format_money(minor: int, currency: str) -> str:
    """`1,234.56 EUR`, from minor units."""
    digits = minor_digits(currency)
    return f"{Decimal(minor).scaleb(-digits):,.{digits}f} {currency}"


def decimal_sql(minor: str, currency: str) -> str:
    """SQL for an amount as text with its decimals and no separators: `1234.56`. The arguments are SQL."""
    cases = " ".join(
        f"WHEN {currency} IN ({_codes(digits)}) THEN {_scaled(minor, digits)}"
        for digits in sorted({*MINOR_DIGITS.values()} - {OTHER_DIGITS})
    )
    return f"(CASE {cases} ELSE {_scaled(minor, OTHER_DIGITS)} END)::text"


def _codes(digits: int) -> str:
    return ", ".join(f"'{code}'" for code, its in MINOR_DIGITS.items() if its == digits)


def _scaled(minor: str, digits: int) -> str:
    return f"round(({minor})::numeric / {10**digits}, {digits})"
