"""The facts that the users service reports.

DashboardError
├── NotFound
│   ├── UserNotFound
│   ├── SessionNotFound
│   ├── ApiKeyNotFound
│   ├── IdentityNotFound
│   └── IdentityProviderNotFound
├── Conflict
│   ├── EmailAlreadyUsed
│   ├── TooManyApiKeys
│   ├── AlreadyVerified
│   ├── LinkNotWanted
│   ├── AlreadyLinked
│   ├── TooManyIdentities
│   ├── LastSignInMethod
│   ├── OwnAccount
│   └── NoResetOfSuspended
├── Unauthenticated
│   ├── InvalidCredentials
│   └── InvalidRefreshToken
├── Forbidden
│   ├── AccountSuspended
│   └── RecentSignInRequired
├── InvalidInput
│   ├── WrongPassword
│   ├── WeakPassword
│   ├── UnmailableAddress
│   └── InvalidLink
├── TooManyMails
└── Unavailable
    ├── TooManyLogins
    ├── IdentityProviderUnavailable
    └── PageUnknown

Those that routes of the gateway pass on are in `shared/contracts/account_errors.py`.
"""

from datetime import timedelta
from math import ceil
from typing import Self

from shared.errors import Conflict, DashboardError, InvalidInput, NotFound, Unauthenticated, Unavailable


class UserNotFound(NotFound):
    code, title = "user_not_found", "No such user"


class SessionNotFound(NotFound):
    code, title = "session_not_found", "No such session"


class ApiKeyNotFound(NotFound):
    code, title = "api_key_not_found", "No such API key"


class IdentityNotFound(NotFound):
    code, title = "identity_not_found", "No such identity is linked to this account"


class EmailAlreadyUsed(Conflict):
    code, title = "email_already_used", "This address belongs to an account already"


class TooManyApiKeys(Conflict):
    code, title = "too_many_api_keys", "The maximum number of API keys is reached"


class AlreadyVerified(Conflict):
    code, title = "already_verified", "The address of this account is verified"


class LinkNotWanted(Conflict):
    code, title = "link_not_wanted", "The account has no use for this link any more"


class LastSignInMethod(Conflict):
    code, title = "last_sign_in_method", "The only way to sign in to an account cannot be removed; set a password first"


class OwnAccount(Conflict):
    code, title = "own_account", "You cannot suspend your own account"


class NoResetOfSuspended(Conflict):
    code, title = "no_reset_of_suspended", "A suspended account gets no link for a new password"


class InvalidCredentials(Unauthenticated):
    """The same for an unknown address and for a wrong password."""

    code, title = "invalid_credentials", "Wrong address or password"


class InvalidRefreshToken(Unauthenticated):
    code, title = "invalid_refresh_token", "The refresh token is not valid; sign in again"


class WeakPassword(InvalidInput):
    code, title = "weak_password", "The new password is too easy to guess"

    @classmethod
    def example(cls) -> Self:
        return cls.of("password", "is too easy to guess: use several unrelated words, or a password manager")


class UnmailableAddress(InvalidInput):
    code, title = "unmailable_address", "No mail can be sent to this address"

    @classmethod
    def example(cls) -> Self:
        return cls.of("email", "must have only ASCII letters before the @; mail cannot be delivered otherwise")


class TooManyMails(DashboardError):
    status, code, title = 429, "too_many_mails", "Too many mails were requested to this address"

    def __init__(self, wait: timedelta) -> None:
        super().__init__("A mail was sent to this address before; look into its folder for spam, or try again later.")
        self.headers = {"Retry-After": str(ceil(wait.total_seconds()))}  # type: ignore[misc]

    @classmethod
    def example(cls) -> Self:
        return cls(timedelta(minutes=1))


class PageUnknown(Unavailable):
    code, title = "page_unknown", "PUBLIC_URL is not set: links in mails need the address of the web page"
