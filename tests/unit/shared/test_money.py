"""Amounts and their decimals."""

import pytest
from pydantic_extra_types.currency_code import Currency

from shared.money import MINOR_DIGITS, format_money, minor_digits

UNITS_OF_ACCOUNT = {"XSU", "XUA"}
"""The codes for which ISO 4217 has no minor unit."""


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [
        (1250, "EUR", "12.50 EUR"),
        (5, "EUR", "0.05 EUR"),
        (123456789, "USD", "1,234,567.89 USD"),
        (500, "JPY", "500 JPY"),
        (1234, "KWD", "1.234 KWD"),
        (1234, "IQD", "1.234 IQD"),
        (123456, "HUF", "1,234.56 HUF"),
        (12345, "CLF", "1.2345 CLF"),
        (-5, "EUR", "-0.05 EUR"),
        (0, "EUR", "0.00 EUR"),
        (23 * 9 * 10**18, "EUR", "2,070,000,000,000,000,000.00 EUR"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(minor: int, currency: str, text: str) -> None:
    """Minor units are converted exactly."""
    assert format_money(minor, currency) == text


def test_the_table_has_every_currency_that_an_order_may_have() -> None:
    """A currency that it no longer contains keeps two decimals."""
    assert set(Currency.allowed_currencies) - UNITS_OF_ACCOUNT == MINOR_DIGITS.keys()
    assert minor_digits("DEM") == 2
