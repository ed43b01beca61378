"""The facts that the users service reports.

DashboardError
├── NotFound
│   └── UserNotFound
├── Conflict
│   └── EmailAlreadyUsed
├── Unauthenticated
│   ├── InvalidCredentials
│   └── InvalidRefreshToken
├── InvalidInput
│   └── WrongPassword
└── Unavailable
    └── TooManyLogins
"""

from typing import ClassVar

from shared.errors import Conflict, InvalidInput, NotFound, Unauthenticated, Unavailable


class UserNotFound(NotFound):
    code, title = "user_not_found", "No such user"


class EmailAlreadyUsed(Conflict):
    code, title = "email_already_used", "This address belongs to an account already"


class InvalidCredentials(Unauthenticated):
    """Says the same of an unknown address and of a wrong password."""

    code, title = "invalid_credentials", "Wrong address or password"


class InvalidRefreshToken(Unauthenticated):
    code, title = "invalid_refresh_token", "The refresh token is not valid; log in again"


class WrongPassword(InvalidInput):
    """Not 401: the access token is good, and a client must not throw it away."""

    code, title = "wrong_password", "The current password is missing or wrong"


class TooManyLogins(Unavailable):
    code, title = "too_many_logins", "Too many passwords are being checked; try again"
    headers: ClassVar = {"Retry-After": "1"}
