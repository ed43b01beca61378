"""Routes of the users service that only the gateway calls, about somebody's account."""

SIGN_OUT = "/internal/sign-out"
"""POST {"refresh_token"} → {"session_id"}: ends the session of a refresh token, used or not."""
CONFIRM = "/internal/password"
"""POST {"current_password"} → 204 when it is the caller's."""
CURRENT_PASSWORD = "current_password"  # noqa: S105  the name of a field
"""The field in which every route takes the password of somebody who is signed in."""
EXPORT = "/v1/me/export"
