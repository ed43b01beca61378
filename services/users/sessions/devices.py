"""A short description of the device of a sign-in, for the list of sessions."""

import re

import ua_parser

MAX_USER_AGENT = 400
"""Longer headers are cut: the time to recognise one grows with its length."""
MAX_DEVICE = 100

_PRODUCT = re.compile(r"[\w.-]{1,40}(?=/|$)")


def load() -> None:
    """Load the rules, which takes a tenth of a second: before the first request."""
    ua_parser.parse_user_agent("")
    ua_parser.parse_os("")


def describe(user_agent: str) -> str | None:
    """Return what a `User-Agent` header says, such as `Firefox on Linux`; None if it says nothing.

    It is the client's word: anyone can send any header.
    """
    given = user_agent[:MAX_USER_AGENT]
    browser, system = ua_parser.parse_user_agent(given), ua_parser.parse_os(given)
    names = [found.family for found in (browser, system) if found is not None]
    if not names and (product := _PRODUCT.match(given)):
        names = [product[0]]
    return " on ".join(names)[:MAX_DEVICE] or None
