"""In which form passwords are compared, and which are refused as new ones."""

import unicodedata

from zxcvbn import zxcvbn

MIN_LENGTH, MAX_LENGTH = 8, 128
MAX_GIVEN = 4 * MAX_LENGTH
"""As typed: a decomposed form is longer than the normalized one."""
MIN_GUESSES = 10**6
"""A password that needs fewer guesses is common, or a pattern."""
RATED = 40
"""Characters that are rated: the time for it grows with the square."""
TOO_EASY = "is too easy to guess: use several unrelated words, or let a password manager make one"


def normalized(password: str) -> str:
    """The one form of all ways to type a password: the OpaqueString profile of RFC 8265, without its refusals."""
    spaced = "".join(" " if unicodedata.category(char) == "Zs" else char for char in password)
    return unicodedata.normalize("NFC", spaced)


def has_length(password: str, least: int) -> str:
    """The password, if its normalized form is neither too short nor too long. Raises `ValueError`."""
    length = len(normalized(password))
    if length < least:
        raise ValueError(f"must have at least {least} characters")
    if length > MAX_LENGTH:
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    return password


def is_easy_to_guess(password: str, *personal: str) -> bool:
    """Whether it is a common password, a pattern, or made of what is known of its owner."""
    known = ["dashboard"]
    for text in personal:
        parts = text.replace("@", " ").replace(".", " ").split()
        known += [text, "".join(parts), *parts]
    return bool(zxcvbn(normalized(password)[:RATED], user_inputs=known)["guesses"] < MIN_GUESSES)
