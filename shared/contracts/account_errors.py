"""What goes wrong with accounts, in both: the users service reports it, and routes of the gateway pass it on."""

from typing import ClassVar

from shared.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable


class AlreadyLinked(Conflict):
    code, title = "already_linked", "This identity is linked to another account"


class TooManyIdentities(Conflict):
    code, title = "too_many_identities", "The maximum number of linked identities is reached"


class IdentityProviderNotFound(NotFound):
    code, title = "identity_provider_not_found", "No such identity provider"


class IdentityProviderUnavailable(Unavailable):
    code, title = "identity_provider_unavailable", "The identity provider does not answer; try again"


class RecentSignInRequired(Forbidden):
    """For an account without a password. Not 401: the access token is valid, and clients must keep it."""

    code, title = "recent_sign_in_required", "Sign in with an identity provider again before this"


class InvalidLink(InvalidInput):
    """The same for a token that is malformed, unknown, used, expired, or for another purpose."""

    code, title = "invalid_link", "The link is not valid: it was used before, or has expired"

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "token", "message": "is not valid; request a new link"}])


class AccountSuspended(Forbidden):
    code, title = "account_suspended", "This account is suspended"


class TooManyLogins(Unavailable):
    code, title = "too_many_logins", "Too many passwords are being checked; try again"
    headers: ClassVar = {"Retry-After": "1"}


class WrongPassword(InvalidInput):
    """Not 401: the access token is valid, and clients must keep it."""

    code, title = "wrong_password", "The current password is missing or wrong"
