"""Amounts of money: stored in minor units, shown with the decimals of ISO 4217.

`iso_4217.json` is the only table of decimals, for mails, reports and the page. CLDR, which browsers and Babel use, has
the digits that are used in cash, and those of 17 currencies differ.
"""

import json
from decimal import Decimal
from importlib.resources import files

MINOR_DIGITS: dict[str, int] = json.loads(files("shared").joinpath("iso_4217.json").read_text())["minor_digits"]
OTHER_DIGITS = 2
"""For codes that the table does not contain: discontinued currencies and units of account."""


def minor_digits(currency: str) -> int:
    """Return the number of decimals of an amount: 2 for EUR, 0 for JPY."""
    return MINOR_DIGITS.get(currency, OTHER_DIGITS)


def format_money(minor: int, currency: str) -> str:
    """Format minor units as `1,234.56 EUR`."""
    digits = minor_digits(currency)
    return f"{Decimal(minor).scaleb(-digits):,.{digits}f} {currency}"


def decimal_sql(minor: str, currency: str) -> str:
    """Return SQL for an amount as text with its decimals and no separators: `1234.56`. The arguments are SQL."""
    cases = " ".join(
        f"WHEN {currency} IN ({_codes(digits)}) THEN {_scaled(minor, digits)}"
        for digits in sorted({*MINOR_DIGITS.values()} - {OTHER_DIGITS})
    )
    return f"(CASE {cases} ELSE {_scaled(minor, OTHER_DIGITS)} END)::text"


def _codes(digits: int) -> str:
    return ", ".join(f"'{code}'" for code, its in MINOR_DIGITS.items() if its == digits)


def _scaled(minor: str, digits: int) -> str:
    return f"round(({minor})::numeric / {10**digits}, {digits})"
