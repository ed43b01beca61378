"""Mails about accounts: links, and notices of what has happened.

None contains the name of the account: it may be another person's words to a stranger.
"""

from datetime import UTC, datetime

from services.worker.email.kinds import SECURITY
from services.worker.email.layout import Button
from services.worker.email.messages import Template, message
from shared.contracts.internal_api import Purpose
from shared.contracts.tasks import SendAddressChange, SendAddressVerification, SendPasswordReset


def _with_link(name: str, subject: str, button: str, hours: int, reason: str) -> Template:
    sample = {"link": "https://dashboard.example.com/#/sample?token=sample", "hours": hours}
    return message(__name__, name, subject, SECURITY, button=Button(button, "{{ link }}"), reason=reason, sample=sample)


def _notice(name: str, subject: str) -> Template:
    return message(__name__, name, subject, SECURITY, sample={"at": datetime(2026, 1, 31, 12, tzinfo=UTC)})


LINKS: dict[type, tuple[Purpose, Template]] = {
    SendAddressVerification: (
        "verify",
        _with_link(
            "verify_address",
            "Verify your address",
            "Verify this address",
            24,
            "You receive this mail because an account was created with this address.",
        ),
    ),
    SendAddressChange: (
        "change",
        _with_link(
            "change_address",
            "Confirm your new address",
            "Confirm this address",
            24,
            "You receive this mail because an account is to use this address.",
        ),
    ),
    SendPasswordReset: (
        "reset",
        _with_link(
            "reset_password",
            "Reset your password",
            "Choose a new password",
            1,
            "You receive this mail because a new password was requested for your account.",
        ),
    ),
}
NOTICES = {
    "email_changed": _notice("email_changed", "The address of your account has changed"),
    "password_changed": _notice("password_changed", "Your password has changed"),
    "password_reset": _notice("password_reset", "Your password has been reset"),
    "identity_linked": _notice("identity_linked", "A way to sign in was added to your account"),
    "identity_unlinked": _notice("identity_unlinked", "A way to sign in was removed from your account"),
}
