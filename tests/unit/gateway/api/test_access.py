"""Who may call what."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.routing import BaseRoute, Route

from services.gateway.api import passthrough
from services.gateway.api.access import INVALID, OWN, VISITORS, Rule, matrix, rules, verdict
from services.gateway.main import create_app
from services.gateway.settings import Settings
from tests.support.gateway.declared import OPERATIONS

PAGE = Path("docs/security.md")
BEGIN, END = "<!-- access: begin -->\n", "<!-- access: end -->"


def real_routes() -> set[tuple[str, str]]:
    """Every method and path template that the gateway answers; a HEAD is a GET."""
    app = create_app(Settings(internal_token_secret=SecretStr("s" * 32)))
    return set(_flat([*app.routes, *passthrough.routes(OPERATIONS)]))


def _flat(routes: list[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if included := getattr(route, "original_router", None):  # FastAPI keeps a router that was included as it is
            yield from _flat(included.routes)
            continue
        assert isinstance(route, Route), f"{route} is no kind of route that this test knows"
        for method in (route.methods or set()) - {"HEAD"}:
            yield method, route.path_format


def test_every_route_has_a_rule() -> None:
    """A new route without an entry in the table fails here, and so does an entry without a route."""
    assert {(rule.method, rule.path) for rule in rules()} == real_routes()


def test_no_route_has_two_rules() -> None:
    """So nobody can be let in by one and refused by the other."""
    assert len(list(rules())) == len(OWN) + len(OPERATIONS) == len({(rule.method, rule.path) for rule in rules()})


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule("GET", "/", "anonymous"), "yes yes yes yes yes yes yes yes"),
        (Rule("GET", "/things", "user"), "401 yes yes yes yes yes 403 403"),
        (Rule("POST", "/things", "user"), "401 yes yes yes yes 403 yes 403"),
        (Rule("POST", "/things", "user", session_only=True), "401 yes yes yes yes 403 403 403"),
        (Rule("GET", "/things/{id}", "user"), "401 yes 404 404 404 yes 403 403"),
        (Rule("DELETE", "/things/{id}", "user"), "401 yes 404 404 404 403 yes 403"),
        (Rule("GET", "/things/{id}", "user", "operators"), "401 yes 404 yes yes yes 403 403"),
        (Rule("GET", "/things/{id}", "user", "everyone"), "401 yes yes yes yes yes 403 403"),
        (Rule("GET", "/things/{id}", "operator"), "401 403 403 yes yes 403 403 yes"),
        (Rule("POST", "/things/{id}", "admin"), "401 403 403 403 yes 403 403 yes"),
    ],
)
def test_verdicts(rule: Rule, expected: str) -> None:
    """Of each kind of rule, for every visitor in the order of the table; an invalid credential opens only what is open
    to everyone."""
    valid = [visitor for visitor in VISITORS if visitor not in INVALID]
    assert [verdict(rule, visitor) for visitor in valid] == expected.split()
    assert {verdict(rule, visitor) for visitor in INVALID} == {"yes" if rule.access == "anonymous" else "401"}
    assert len(INVALID) == 5


def test_what_changes_another_persons_things_is_audited() -> None:
    """Every operation that only administrators may carry out leaves an entry."""
    assert all(each.audited for each in OPERATIONS if each.access == "admin")


def test_what_takes_a_password_or_manages_credentials_is_for_people() -> None:
    """API keys may not call it, so that a stolen key can neither take over the account nor outlive its deletion."""
    refused = {(rule.method, rule.path) for rule in rules() if rule.session_only}
    assert {(each.method, each.template) for each in OPERATIONS if each.takes_password} < refused
    managing = {
        (rule.method, rule.path)
        for rule in rules()
        if rule.path.startswith(("/v1/me/sessions", "/v1/me/api-keys")) or rule.path == "/v1/tokens"
    }
    assert managing - refused == {("POST", "/v1/tokens")}
    assert ("POST", "/v1/me/export") in refused


def test_the_page_shows_the_table_as_it_is() -> None:
    """docs/security.md holds what `python -m services.gateway.api.access` prints."""
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert shown.strip() == matrix().strip()
