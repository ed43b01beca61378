"""Kinds of mails: why a mail comes, and whether its recipient can switch it off.

RECEIPT = mail_kind("receipt", "Receipts", "You receive this mail because you paid an order.")
"""

import re
from dataclasses import dataclass

KINDS: "dict[str, MailKind]" = {}
"""All declared kinds, by name."""
NAME = r"[a-z][a-z0-9_]{0,31}"


class InvalidMailKind(TypeError):
    """A kind of mail cannot be declared as it is written."""


@dataclass(frozen=True, slots=True)
class MailKind:
    """`title` is a plural, as in a list of settings; `reason` is the sentence in the footer of these mails."""

    name: str
    title: str
    reason: str
    is_optional: bool = True
    """Whether its recipient can switch it off; its mails then have an unsubscribe link. The other mails go to addresses
    that are not verified, too: they do not greet by name, because the name may be another person's words."""
    is_default: bool = True
    """Whether it is sent to a person who has not chosen."""

    @property
    def phrase(self) -> str:
        """Return the title within a sentence."""
        return self.title[0].lower() + self.title[1:]


def mail_kind(name: str, title: str, reason: str, *, is_optional: bool = True, is_default: bool = True) -> MailKind:
    """Declare a kind of mail. Raises `InvalidMailKind`."""
    kind = MailKind(name, title, reason, is_optional, is_default)
    if not re.fullmatch(NAME, name):
        raise InvalidMailKind(f"{name!r}: a kind has up to 32 lower-case letters, digits and _, a letter first")
    if KINDS.setdefault(name, kind) != kind:
        raise InvalidMailKind(f"two kinds of mails have the name {name}")
    return kind


SECURITY = mail_kind(
    "security", "Security notices", "You receive this mail because it concerns your account.", is_optional=False
)
"""Verifications, resets, and notices of changes to an account."""
OTHER = mail_kind("other", "Other mails", "You receive this mail because you have an account.")
"""Mails without a kind of their own."""
