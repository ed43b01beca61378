"""The users service, for the tests that every service has in common."""

from collections.abc import Mapping
from uuid import uuid4

from fastapi import FastAPI

from services.users.identities.flows import FlowSecret
from shared.contracts.internal_api import (
    IDENTITY_CALLBACKS,
    IDENTITY_FLOWS,
    IDENTITY_LINK_ACCOUNT,
    IDENTITY_LINKS,
)
from shared.contracts.internal_api import PERSONAL_DATA_PATH as EXPORT
from shared.db.migrations import metadata_of
from shared.http.api_keys import LOOKUP_PATH
from tests.support.services.description import Call, Service, Somebody, Thing
from tests.support.users import PASSWORD, app_of, settings_for

AUDIT = "/v1/admin/audit"
SESSIONS, API_KEYS, IDENTITIES = "/v1/me/sessions", "/v1/me/api-keys", "/v1/me/identities"
OWNER = """
    WITH owner AS (
        INSERT INTO users (id, email, name, password_hash, role, revision, created_at, updated_at)
        VALUES ($1, $1::uuid || '@example.com', 'x', '-', 'user', 1, now(), now())
    )
"""
ENTRY = {"action": "POST /v1/orders/{id}/ship", "subject_id": str(uuid4()), "detail": "id=1"}
LINK = {"secret": "x", "ticket": FlowSecret("x").ticket}
NDJSON = {"headers": {"Accept": "application/x-ndjson"}}


def registration() -> Call:
    return Call(
        "POST", "/v1/users", {"json": {"email": f"{uuid4().hex}@example.com", "name": "Eve", "password": PASSWORD}}
    )


async def settle(app: FastAPI) -> Somebody:
    """Registered and logged in."""
    registered = (await registration().by(Somebody(app))).raise_for_status().json()
    form = {"username": registered["email"], "password": PASSWORD}
    tokens = (await Somebody(app).post("/v1/tokens", data=form)).raise_for_status().json()
    return Somebody(app, registered["id"], email=registered["email"], refresh_token=tokens["refresh_token"])


def calls(somebody: Somebody, panel_headers: Mapping[str, str]) -> list[Call]:
    return [
        Call("GET", "/v1/me"),
        Call("PATCH", "/v1/me", {"json": {"name": "Countess"}}),
        registration(),
        Call("POST", "/v1/tokens", {"data": {"username": somebody.has["email"], "password": PASSWORD}}),
        Call("POST", "/v1/tokens/refresh", {"json": {"refresh_token": somebody.has["refresh_token"]}}),
        Call("GET", SESSIONS),
        Call("DELETE", f"{SESSIONS}/{uuid4()}"),
        Call("DELETE", SESSIONS),
        Call("GET", API_KEYS),
        Call("POST", API_KEYS, {"json": {"name": "x", "scopes": ["read"], "current_password": PASSWORD}}),
        Call("DELETE", f"{API_KEYS}/{uuid4()}"),
        Call("POST", LOOKUP_PATH, {"json": {"key_hash": "0" * 64}}),
        Call("GET", IDENTITIES),
        Call("DELETE", f"{IDENTITIES}/{uuid4()}"),
        Call("POST", IDENTITY_LINK_ACCOUNT, {"json": LINK}),
        Call("POST", IDENTITY_LINKS, {"json": {**LINK, "password": PASSWORD}}),
        Call("GET", f"/v1/users/{uuid4()}", role="support"),
        Call("GET", f"/v1/users/{somebody.user_id}/avatar"),
        Call("GET", "/v1/users", role="admin"),
        Call("GET", "/v1/users", NDJSON, role="admin"),
        Call("GET", "/v1/users/count", role="admin"),
        Call("POST", "/v1/email-verifications", {"json": {"token": "x"}}),
        Call("POST", "/v1/email-verifications/resend"),
        Call("POST", "/v1/password-resets", {"json": {"email": "nobody@example.com"}}),
        Call("POST", "/v1/password-resets/confirm", {"json": {"token": "x", "password": PASSWORD}}),
        Call("POST", f"/v1/admin/users/{uuid4()}/suspend", role="admin"),
        Call("POST", f"/v1/admin/users/{uuid4()}/unsuspend", role="admin"),
        Call("POST", f"/v1/admin/users/{uuid4()}/verify", role="admin"),
        Call("GET", f"/v1/admin/users/{uuid4()}", role="admin"),
        Call("POST", f"/v1/admin/users/{uuid4()}/reset-password", role="admin"),
        Call("GET", AUDIT, role="admin"),
        Call("POST", "/internal/audit", {"json": ENTRY}, role="admin"),
        Call("GET", EXPORT),
        *USERS.panels_of(somebody, panel_headers),
    ]


USERS = Service(
    name="users",
    metadata=metadata_of("services.users"),
    create_app=app_of,
    settings=settings_for,
    settle=settle,
    calls=calls,
    read=Call("GET", "/v1/me"),
    write=registration,
    written=2,
    panels=("user",),
    taking_json=(
        ("POST", "/v1/users"),
        ("PATCH", "/v1/me"),
        ("POST", "/v1/tokens/refresh"),
        ("POST", API_KEYS),
        ("POST", IDENTITY_FLOWS),
        ("POST", IDENTITY_CALLBACKS),
        ("POST", IDENTITY_LINK_ACCOUNT),
        ("POST", IDENTITY_LINKS),
        ("POST", "/v1/email-verifications"),
        ("POST", "/v1/password-resets"),
        ("POST", "/v1/password-resets/confirm"),
        ("POST", "/internal/panels"),
        ("POST", "/internal/panels/user"),
    ),
    lists=("/v1/users", AUDIT, SESSIONS, API_KEYS, IDENTITIES),
    own=(),
    naming=(
        ("GET", "/v1/users/{}"),
        ("DELETE", f"{SESSIONS}/{{}}"),
        ("DELETE", f"{API_KEYS}/{{}}"),
        ("DELETE", f"{IDENTITIES}/{{}}"),
    ),
    guarded=(
        *(("GET", "/v1/me"), ("DELETE", "/v1/me"), ("POST", "/v1/users"), ("GET", "/v1/users"), ("GET", AUDIT)),
        *(("GET", SESSIONS), ("DELETE", SESSIONS), ("GET", API_KEYS), ("POST", API_KEYS), ("POST", LOOKUP_PATH)),
        *(("GET", IDENTITIES), ("GET", "/v1/identity-providers"), ("POST", IDENTITY_FLOWS), ("POST", IDENTITY_LINKS)),
    ),
    things=(
        Thing(
            "users",
            """
            INSERT INTO users (id, email, name, password_hash, role, revision, created_at, updated_at)
            VALUES ($2, $1::uuid || '@example.com', 'x', '-', 'user', 1, now(), now())
            """,
            [Call("GET", "/v1/users/{}")],
            looks=False,
        ),
        Thing(
            "sessions",
            f"""
            {OWNER}
            INSERT INTO sessions (user_id, id, created_at, expires_at) VALUES ($1, $2, now(), now() + interval '1 day')
            """,
            [Call("DELETE", f"{SESSIONS}/{{}}")],
        ),
        Thing(
            "api_keys",
            f"""
            {OWNER}
            INSERT INTO api_keys (user_id, id, key_hash, prefix, name, scopes, created_at)
            VALUES ($1, $2, '\\x00', 'dsh_', 'x', ARRAY['read'], now())
            """,
            [Call("DELETE", f"{API_KEYS}/{{}}")],
        ),
        Thing(
            "identities",
            f"""
            {OWNER}
            INSERT INTO identities (user_id, id, provider, issuer, subject, created_at)
            VALUES ($1, $2, 'example', 'https://identity.example.com', $2::uuid::text, now())
            """,
            [Call("DELETE", f"{IDENTITIES}/{{}}")],
        ),
    ),
)
