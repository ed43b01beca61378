"""Access rules: one table over every route of the gateway, its own and the passed-through ones."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from services.gateway.auth.api_keys import needed_scope
from services.gateway.auth.authenticator import OPERATORS, Access
from services.gateway.catalog.catalog import packaged
from services.gateway.proxy.operations import Operation, Others
from shared.http.api_keys import KeyScope

Visitor = Literal[
    "anonymous",
    "user",
    "another user",
    "support",
    "admin",
    "read key",
    "write key",
    "admin key",
    "expired token",
    "revoked token",
    "expired key",
    "revoked key",
    "mistyped key",
]
Verdict = Literal["yes", "401", "403", "404"]
VISITORS: tuple[Visitor, ...] = get_args(Visitor)
"""`user` requests their own object; `another user`, `support` and `admin` request the same object."""
KEYS: dict[Visitor, tuple[KeyScope, Visitor]] = {
    "read key": ("read", "user"),
    "write key": ("write", "user"),
    "admin key": ("admin", "admin"),
}
"""The only scope of each API key, and its owner."""
INVALID: tuple[Visitor, ...] = ("expired token", "revoked token", "expired key", "revoked key", "mistyped key")
ALLOWED: dict[Visitor, tuple[Access, ...]] = {
    "user": ("anonymous", "user"),
    "another user": ("anonymous", "user"),
    "support": ("anonymous", "user", "operator"),
    "admin": ("anonymous", "user", "operator", "admin"),
}


@dataclass(frozen=True)
class Rule:
    """`path` is a template such as `/v1/orders/{id}`. `others`: who may access the object that it names, besides its
    owner. `session_only`: API keys may not call it. `needs_account`: users of other issuers may not. `of_feature`: a
    passed-through path; without it, the feature of this route does not exist."""

    method: str
    path: str
    access: Access
    others: Others = "nobody"
    session_only: bool = False
    needs_account: bool = True
    of_feature: str | None = None

    @property
    def names_a_thing(self) -> bool:
        return "{id}" in self.path and self.access == "user"


OWN = (
    Rule("GET", "/", "anonymous"),
    Rule("GET", "/ops", "anonymous"),
    Rule("GET", "/ops/", "anonymous"),
    Rule("GET", "/favicon.ico", "anonymous"),
    Rule("GET", "/assets/{version}/{name}", "anonymous"),
    Rule("GET", "/docs", "anonymous"),
    Rule("GET", "/docs/{version}/{name}", "anonymous"),
    Rule("POST", "/web/session", "anonymous"),
    Rule("POST", "/web/session/refresh", "anonymous"),
    Rule("DELETE", "/web/session", "anonymous"),
    Rule("GET", "/v1/identity-providers/{name}/sign-in", "anonymous", of_feature="/v1/identity-providers"),
    Rule(
        "POST", "/v1/identity-providers/{name}/sign-in", "user", session_only=True, of_feature="/v1/identity-providers"
    ),
    Rule("GET", "/v1/identity-providers/{name}/callback", "anonymous", of_feature="/v1/identity-providers"),
    Rule("POST", "/v1/identity-links", "anonymous", of_feature="/v1/identity-providers"),
    Rule("GET", "/v1/dashboard", "user", needs_account=False),
    Rule("GET", "/v1/dashboard/events", "user", needs_account=False),
    Rule("GET", "/v1/users/{id}/dashboard", "user", "operators", needs_account=False),
    Rule("POST", "/v1/dashboards/batch", "admin"),
    Rule("GET", "/v1/reports/{id}/download", "user", of_feature="/v1/reports"),
    Rule("POST", "/v1/me/export", "user", session_only=True),
    Rule("GET", "/v1/admin/status", "operator"),
    Rule("GET", "/openapi.json", "anonymous"),
    Rule("GET", "/livez", "anonymous"),
    Rule("GET", "/readyz", "anonymous"),
)
"""The routes that the gateway answers itself."""


def own_paths() -> list[str]:
    """Return the paths that the gateway answers itself."""
    return [rule.path for rule in OWN]


def rules(operations: Iterable[Operation] | None = None) -> Iterator[Rule]:
    """Return every route, by path: the gateway's own, and these passed-through ones, by default those of the packaged
    panels file."""
    passed_through = packaged().operations if operations is None else tuple(operations)
    known = {operation.template for operation in passed_through}
    own = (rule for rule in OWN if rule.of_feature is None or rule.of_feature in known)
    passed = (
        Rule(each.method, each.template, each.access, each.others, not each.allows_api_keys, bool(each.issuers))
        for each in passed_through
    )
    return iter(sorted((*own, *passed), key=lambda rule: (rule.path, rule.method)))


def access_to(method: str, path: str) -> Access:
    """Return who may call this route of the gateway's own."""
    return next(rule.access for rule in OWN if (rule.method, rule.path) == (method, path))


def verdict(rule: Rule, visitor: Visitor) -> Verdict:
    """Return the result of a visitor's call: `yes`, or the status of the refusal."""
    if visitor in KEYS and rule.access != "anonymous":
        scope, visitor = KEYS[visitor]
        if rule.session_only or scope != needed_scope(rule.method, of_operators=rule.access in OPERATORS):
            return "403"
    allowed = ALLOWED.get(visitor)
    if allowed is None:
        return "yes" if rule.access == "anonymous" else "401"
    if rule.access not in allowed:
        return "403"
    if not rule.names_a_thing or visitor == "user" or rule.others == "everyone":
        return "yes"
    return "yes" if rule.others == "operators" and visitor in ("support", "admin") else "404"


def matrix() -> str:
    """Format all verdicts as a Markdown table, with one column for all invalid credentials."""
    shown = [visitor for visitor in VISITORS if visitor not in INVALID]
    lines = [["route", *shown, "invalid"], ["---"] * (2 + len(shown))]
    for rule in rules():
        (invalid,) = {verdict(rule, visitor) for visitor in INVALID}
        lines.append([f"`{rule.method} {rule.path}`", *(verdict(rule, visitor) for visitor in shown), invalid])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    print(matrix(), end="")  # noqa: T201  what it is for
