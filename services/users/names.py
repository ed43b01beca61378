"""Which display names can be seen as what they are."""

import unicodedata

import idna

BLANKS = frozenset("\u115f\u1160\u2800\u3164\uffa0")
"""Letters and symbols without a shape."""
IGNORED = frozenset("\u034f\u17b4\u17b5\u180b\u180c\u180d\u180f")
"""Marks without a shape, beside those of the categories."""
JOINERS = frozenset("\u200c\u200d")
INVISIBLE = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def visible(name: str) -> str:
    """The name. Raises `ValueError` when it holds a character that nobody sees, or that turns the text around."""
    for position, char in enumerate(name):
        if _is_hidden(name, position):
            raise ValueError(f"must not contain invisible characters (U+{ord(char):04X})")
    if not any(unicodedata.category(char)[0] in "LNPS" for char in name):
        raise ValueError("must contain a visible character")
    return name


def _is_hidden(name: str, position: int) -> bool:
    char = name[position]
    if char in JOINERS:
        return not _joins(name, position)
    if _is_variation(char):
        # After an ideograph or a symbol it selects a shape.
        return position == 0 or unicodedata.category(name[position - 1]) not in ("Lo", "So")
    return char in BLANKS or char in IGNORED or unicodedata.category(char) in INVISIBLE


def _joins(name: str, position: int) -> bool:
    """Whether a joiner stands where Persian and Indic scripts need it (RFC 5892, appendix A)."""
    try:
        return idna.valid_contextj(name, position)
    except ValueError:
        return False


def _is_variation(char: str) -> bool:
    return "\ufe00" <= char <= "\ufe0f" or "\U000e0100" <= char <= "\U000e01ef"
