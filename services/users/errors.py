"""The facts that the users service reports.

DashboardError
├── NotFound
│   ├── UserNotFound
│   ├── SessionNotFound
│   └── ApiKeyNotFound
├── Conflict
│   ├── EmailAlreadyUsed
│   └── TooManyApiKeys
├── Unauthenticated
│   ├── InvalidCredentials
│   └── InvalidRefreshToken
├── InvalidInput
│   ├── WrongPassword
│   ├── WeakPassword
│   └── UnmailableAddress
└── Unavailable
    └── TooManyLogins
"""

from typing import ClassVar

from shared.errors import Conflict, InvalidInput, NotFound, Unauthenticated, Unavailable


class UserNotFound(NotFound):
    code, title = "user_not_found", "No such user"


class SessionNotFound(NotFound):
    code, title = "session_not_found", "No such session"


class ApiKeyNotFound(NotFound):
    code, title = "api_key_not_found", "No such API key"


class EmailAlreadyUsed(Conflict):
    code, title = "email_already_used", "This address belongs to an account already"


class TooManyApiKeys(Conflict):
    code, title = "too_many_api_keys", "The maximum number of API keys is reached"


class InvalidCredentials(Unauthenticated):
    """The same for an unknown address and for a wrong password."""

    code, title = "invalid_credentials", "Wrong address or password"


class InvalidRefreshToken(Unauthenticated):
    code, title = "invalid_refresh_token", "The refresh token is not valid; sign in again"


class WrongPassword(InvalidInput):
    """Not 401: the access token is valid, and clients must keep it."""

    code, title = "wrong_password", "The current password is missing or wrong"


class WeakPassword(InvalidInput):
    code, title = "weak_password", "The new password is too easy to guess"


class UnmailableAddress(InvalidInput):
    code, title = "unmailable_address", "No mail can be sent to this address"


class TooManyLogins(Unavailable):
    code, title = "too_many_logins", "Too many passwords are being checked; try again"
    headers: ClassVar = {"Retry-After": "1"}
