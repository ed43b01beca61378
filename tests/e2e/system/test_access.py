"""Access control: every route of the gateway, called by every kind of visitor."""

import io
import itertools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
import jwt
import pytest
from PIL import Image

from services.gateway.api.access import VISITORS, Rule, Visitor, rules, verdict
from services.worker.email.kinds import OTHER
from services.worker.email.unsubscribe import UnsubscribeLinks
from shared.http.tokens import UserTokens
from shared.ids import new_id
from tests.support.stack.operators import query
from tests.support.stack.running import NO_TLS, PASSWORD, PATIENCE_S, Person, Stack
from tests.support.waiting import wait_until
from tools.devstack.datadir import DataDir

pytestmark = pytest.mark.e2e

CSV = b"reference,currency,sku,name,quantity,unit_price,ordered_at\nr1,EUR,tea,Tea,1,100,2026-01-01T00:00:00Z\n"
HOOK = {"url": "http://127.0.0.1:9/hook", "events": ["order.paid"]}
LAST = ("DELETE /v1/tokens", "DELETE /v1/me/sessions", "DELETE /v1/me")
"""Called after all others, because they end the visitor's sessions."""


OWNER: list[Visitor] = ["user"]
AT_ONCE = 4


@dataclass
class Scene:
    """An owner with one of everything, and a token for each kind of visitor."""

    http: httpx.Client
    tokens: dict[Visitor, str | None]
    """Or API keys."""
    spare_tokens: dict[Visitor, str]
    """Tokens of other sessions of the same visitors, which may be ended."""
    paths: dict[str, dict[str, str]]
    """The values for the variables of a path, by its prefix."""
    spare_webhook: str
    """Of the owner, for their key to delete."""

    def call(self, rule: Rule, visitor: Visitor) -> httpx.Response:
        ending = f"{rule.method} {rule.path}" == "DELETE /v1/tokens"
        token = (ending and self.spare_tokens.get(visitor)) or self.tokens[visitor]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        names = next((names for begin, names in self.paths.items() if rule.path.startswith(begin)), {})
        if (visitor, f"{rule.method} {rule.path}") == ("write key", "DELETE /v1/webhooks/{id}"):
            names = {"id": self.spare_webhook}
        if rule.path.endswith("/sign-in"):
            headers["Accept"] = "text/html"  # a browser goes back to the page, since no provider is configured
        body: dict[str, Any] = {} if rule.method in ("GET", "DELETE") else {"json": {}}
        with self.http.stream(rule.method, rule.path.format(**names), headers=headers, **body) as got:
            if "text/event-stream" not in got.headers.get("Content-Type", ""):
                got.read()
            return got

    def outcome(self, rule: Rule, visitor: Visitor) -> str:
        """Return the outcome of the first response that does not ask for a retry."""
        found: list[int] = []

        def is_final() -> bool:
            answer = self.call(rule, visitor)
            found.append(answer.status_code)
            return not (answer.status_code == 503 and "Retry-After" in answer.headers)

        wait_until(is_final, PATIENCE_S)
        return _outcome(found[-1])


@pytest.fixture(scope="module")
def scene(stack: Stack) -> Iterator[Scene]:
    owner, other = Person(stack, "Olga Owner"), Person(stack, "Otto Other")
    names = {
        "/v1/orders/{id}": owner.order()["id"],
        "/v1/imports/{id}": owner.http.post("/v1/imports", files={"file": ("o.csv", CSV)})
        .raise_for_status()
        .json()["id"],
        "/v1/reports/{id}": owner.http.post(
            "/v1/reports", json={"kind": "orders", "from": "2026-01-01", "to": "2026-01-02"}
        )
        .raise_for_status()
        .json()["id"],
        "/v1/webhooks/{id}": owner.http.post("/v1/webhooks", json=HOOK).raise_for_status().json()["id"],
        "/v1/notifications/{id}": _first_notification(owner),
        "/v1/users/{id}": owner.id,
        "/v1/me/sessions/{id}": _session_of(_sign_in(stack, owner.email)),
        "/v1/me/api-keys/{id}": _api_key(owner.http, "read")["id"],
        "/v1/me/identities/{id}": _identity(stack, owner),
    }
    spare_webhook = owner.http.post("/v1/webhooks", json=HOOK).raise_for_status().json()["id"]
    owner.http.put("/v1/me/avatar", content=_picture(), headers={"Content-Type": "image/png"}).raise_for_status()
    paths = {begin: {"id": thing} for begin, thing in names.items()}
    paths["/v1/webhooks/{id}"]["delivery_id"] = _delivery(owner, names["/v1/webhooks/{id}"])
    spare = Person(stack)  # who may be suspended
    spare.http.close()
    paths["/v1/admin/users/{id}"] = {"id": spare.id}
    paths["/v1/identity-providers/"] = {"name": "example"}
    paths["/assets/"] = {"version": "x", "name": "icon.svg"}
    paths["/docs/"] = {"version": "x", "name": "swagger-ui.css"}
    secret = DataDir(stack.folder).secrets()["INTERNAL_TOKEN_SECRET"]
    link = UnsubscribeLinks(stack.url, secret).url(UUID(owner.id), OTHER)
    paths["/v1/unsubscribe/"] = {"key": link.rpartition("/")[2]}
    paths["/v1/admin/jobs/{job}"] = {"job": "email", "id": _job_of(stack, owner)}
    paths["/v1/admin/schedules/{name}"] = {"name": "purge"}
    emails: dict[Visitor, str] = {
        "user": owner.email,
        "another user": other.email,
        "support": _operator(stack, "support"),
        "admin": _operator(stack, "admin"),
    }
    tokens, spares = ({visitor: _sign_in(stack, email) for visitor, email in emails.items()} for _ in range(2))
    nobody: dict[Visitor, str | None] = {
        "anonymous": None,
        "expired token": _expired(stack, owner),
        "revoked token": _revoked(stack),
    }
    keys = _keys(stack, owner, tokens["admin"])
    with httpx.Client(base_url=stack.url, timeout=PATIENCE_S, verify=NO_TLS) as http:
        yield Scene(http, {**tokens, **keys, **nobody}, spares, paths, spare_webhook)
        headers = {"Authorization": f"Bearer {tokens['admin']}"}
        http.post("/v1/admin/jobs/email/resume", headers=headers).raise_for_status()  # the test has paused it
    owner.http.close()
    other.http.close()


def _identity(stack: Stack, owner: Person) -> str:
    identity = new_id()
    insert = """
        INSERT INTO identities (user_id, id, provider, issuer, subject, created_at)
        VALUES ($1, $2, 'example', 'https://identity.example.com', $2::uuid::text, now())
    """
    query(stack, "users", insert, UUID(owner.id), identity)
    return str(identity)


def _first_notification(owner: Person) -> str:
    found: list[Any] = []

    def arrived() -> bool:
        found[:] = owner.http.get("/v1/notifications").raise_for_status().json()["items"]
        return bool(found)

    wait_until(arrived, PATIENCE_S)
    return str(found[0]["id"])


def _job_of(stack: Stack, owner: Person) -> str:
    find = "SELECT event_id FROM jobs WHERE user_id = $1 AND job = 'email'"
    wait_until(lambda: query(stack, "worker", find, UUID(owner.id)), PATIENCE_S)
    return str(query(stack, "worker", find, UUID(owner.id))[0][0])


def _delivery(owner: Person, webhook_id: str) -> str:
    return str(owner.http.post(f"/v1/webhooks/{webhook_id}/test").raise_for_status().json()["id"])


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (64, 64)).save(file, "PNG")
    return file.getvalue()


def _operator(stack: Stack, role: str) -> str:
    person = Person(stack)
    query(stack, "users", "UPDATE users SET role = $2 WHERE id = $1", UUID(person.id), role)
    person.http.close()
    return person.email


def _sign_in(stack: Stack, email: str) -> str:
    form = {"username": email, "password": PASSWORD}
    answer = httpx.post(f"{stack.url}/v1/tokens", data=form, timeout=PATIENCE_S, verify=NO_TLS).raise_for_status()
    return str(answer.json()["access_token"])


def _revoked(stack: Stack) -> str:
    person = Person(stack)
    person.http.delete("/v1/tokens").raise_for_status()
    person.http.close()
    return str(person.http.headers["Authorization"]).removeprefix("Bearer ")


def _expired(stack: Stack, owner: Person) -> str:
    """Return a token with a valid signature that expired an hour ago."""
    keys = DataDir(stack.folder).secrets()["USERS_SIGNING_KEYS"].split(",")
    token = UserTokens(keys, ttl_s=-3600).issue(UUID(owner.id), new_id(), "user")
    assert jwt.decode(token, options={"verify_signature": False})["exp"] < time.time()
    return token


def _session_of(token: str) -> str:
    return str(jwt.decode(token, options={"verify_signature": False})["sid"])


def _api_key(http: httpx.Client, *scopes: str) -> dict[str, Any]:
    body = {"name": "test", "scopes": scopes, "current_password": PASSWORD}
    made: dict[str, Any] = http.post("/v1/me/api-keys", json=body).raise_for_status().json()
    return made


def _keys(stack: Stack, owner: Person, admin_token: str) -> dict[Visitor, str]:
    """Return an API key for each kind of visitor with one."""
    revoked, expired = _api_key(owner.http, "read", "write"), _api_key(owner.http, "read", "write")
    owner.http.delete(f"/v1/me/api-keys/{revoked['id']}").raise_for_status()
    query(stack, "users", "UPDATE api_keys SET expires_at = now() WHERE id = $1", UUID(expired["id"]))
    read, headers = _api_key(owner.http, "read")["key"], {"Authorization": f"Bearer {admin_token}"}
    with httpx.Client(base_url=stack.url, timeout=PATIENCE_S, verify=NO_TLS, headers=headers) as admin:
        return {
            "read key": read,
            "write key": _api_key(owner.http, "write")["key"],
            "admin key": _api_key(admin, "admin")["key"],
            "expired key": expired["key"],
            "revoked key": revoked["key"],
            "mistyped key": read[:-1] + ("0" if read[-1] != "0" else "1"),
        }


def _name(rule: Rule) -> str:
    return f"{rule.method} {rule.path}"


def _in_stages() -> Iterator[list[Rule]]:
    """Yield the routes in order: deletions after everything that uses the things, the end of the visitor's session
    last."""
    late = {name: place for place, name in enumerate(LAST, 1)}

    def stage(rule: Rule) -> tuple[int, bool]:
        return late.get(_name(rule), 0), rule.method == "DELETE"

    for _, together in itertools.groupby(sorted(rules(), key=stage), stage):
        yield list(together)


def _outcome(status: int) -> str:
    return str(status) if status in (401, 403, 404) else "yes" if status < 500 else f"{status}!"


@pytest.mark.full
def test_every_route_for_every_visitor(scene: Scene) -> None:
    """The outcome is that of the table: admitted (possibly 409 or 422, since most bodies here are empty), 401, 403 or
    404. In each stage the owner comes last, so that the things exist when the others try."""
    others: list[Visitor] = [visitor for visitor in VISITORS if visitor not in OWNER]
    found: dict[tuple[str, Visitor], str] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for together in _in_stages():
            for visitors in (others, OWNER):
                calls = list(itertools.product(together, visitors))
                outcomes = pool.map(lambda call: scene.outcome(*call), calls)
                for (rule, visitor), said in zip(calls, outcomes, strict=True):
                    found[_name(rule), visitor] = said
    expected = {(_name(rule), visitor): verdict(rule, visitor) for rule in rules() for visitor in VISITORS}
    assert {key: value for key, value in found.items() if value != expected[key]} == {}
    assert found.keys() == expected.keys()


ITEM = {"sku": "tea", "name": "Tea", "quantity": 1, "unit_price": 1}
BODIES: list[tuple[str, str, dict[str, Any]]] = [
    ("POST", "/v1/users", {"email": "new@example.com", "name": "New", "password": PASSWORD}),
    ("PATCH", "/v1/me", {"name": "New"}),
    ("POST", "/v1/orders", {"currency": "EUR", "items": [ITEM]}),
    ("POST", "/v1/reports", {"kind": "orders", "from": "2026-01-01", "to": "2026-01-02"}),
    ("POST", "/v1/webhooks", HOOK),
    ("POST", "/v1/tokens/refresh", {"refresh_token": "x"}),
    ("POST", "/v1/me/api-keys", {"name": "x", "scopes": ["read"]}),
]


@pytest.mark.parametrize("field", ["role", "id", "user_id", "total", "status"])
def test_what_is_not_for_the_client_to_set_is_refused(person: Person, field: str) -> None:
    """The response is 422 and names the field, and nothing is stored."""
    for method, path, body in BODIES:
        answer = person.http.request(method, path, json=body | {field: "admin"})
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field]), path
    deep = {"currency": "EUR", "items": [ITEM | {field: 1}]}
    assert person.http.post("/v1/orders", json=deep).json()["errors"][0]["field"] == f"items.0.{field}"
    assert person.http.get("/v1/me").json()["role"] == "user"
    assert person.http.get("/v1/orders").json()["items"] == []
