"""Amounts of money as people read them."""

from decimal import Decimal

# ISO 4217. CLDR (Babel) knows how many digits are shown in cash, which is not always the minor unit.
DEFAULT_EXPONENT = 2
EXPONENTS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"), 0),
    **dict.fromkeys(("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
    **dict.fromkeys(("CLF", "UYW"), 4),
}


def format_money(minor: int, currency: str) -> str:
    """`1,234.56 EUR`, from minor units."""
    exponent = EXPONENTS.get(currency, DEFAULT_EXPONENT)
    return f"{Decimal(minor).scaleb(-exponent):,.{exponent}f} {currency}"
