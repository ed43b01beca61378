"""The setting of the issuers: what it may contain, and how a mistake is reported."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from services.gateway.settings import Settings
from services.gateway.trusted_issuers import trusted_issuers
from shared.config.json_list import MAX_LENGTH

URL = "https://identity.example.com"
GOOD: dict[str, Any] = {"issuer": URL, "audience": "shop"}


def text(*items: object) -> str:
    return json.dumps(items)


def settings(**given: Any) -> Settings:
    return Settings(environment="development", **given)


def test_two_fields_are_enough() -> None:
    """The keys are discovered, the user is the subject, and the role is always `user`."""
    [issuer] = settings(issuers=text(GOOD)).trusted_issuers
    assert (issuer.issuer, issuer.audience, issuer.jwks) == (URL, ("shop",), None)
    assert issuer.discovery == f"{URL}/.well-known/openid-configuration"
    assert (issuer.user_id, issuer.role, dict(issuer.roles)) == ("sub", None, {})


def test_every_field() -> None:
    """There may be several audiences, and the claims may be paths."""
    told = {
        **GOOD,
        "audience": ["shop", "app"],
        "jwks": "http://identity:8080/keys?use=sig",
        "user_id": "user.number",
        "role": "realm_access.roles",
        "roles": {"ops": "support", "root": "admin", "everyone": "user"},
    }
    [issuer] = trusted_issuers(text(told))
    assert issuer.model_dump(mode="json") == told


def test_the_example_of_the_page_is_valid() -> None:
    """docs/security.md shows an issuer as an operator would write it."""
    page = Path("docs/security.md").read_text().partition("## Accept tokens of your own identity provider")[2]
    [issuer] = trusted_issuers(re.findall(r"^```json\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0])
    assert set(issuer.roles.values()) == {"support", "admin"}


@pytest.mark.parametrize("empty", ["", " \n", "[]"])
def test_there_may_be_none(empty: str) -> None:
    """The setting is empty by default."""
    assert settings(issuers=empty).trusted_issuers == []


def test_the_url_of_the_metadata_has_one_slash() -> None:
    """The issuer itself may end with one, and keeps it."""
    [issuer] = trusted_issuers(text({**GOOD, "issuer": f"{URL}/"}))
    assert (issuer.issuer, issuer.discovery) == (f"{URL}/", f"{URL}/.well-known/openid-configuration")


def test_an_issuer_that_is_no_url_needs_the_url_of_its_keys() -> None:
    """RFC 7519 allows any text."""
    [issuer] = trusted_issuers(text({**GOOD, "issuer": "accounts", "jwks": f"{URL}/keys"}))
    assert issuer.issuer == "accounts"


NOT_TEXT = f"must be 1 to {MAX_LENGTH} printable characters"
MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no issuer": ({"issuer": None}, "issuer: Input should be a valid string"),
    "an empty issuer": ({"issuer": ""}, f"issuer: {NOT_TEXT}"),
    "a line break": ({"issuer": f"{URL}\n"}, f"issuer: {NOT_TEXT}"),
    "a long issuer": ({"issuer": f"{URL}/{'x' * MAX_LENGTH}"}, f"issuer: {NOT_TEXT}"),
    "our own issuer": ({"issuer": "dashboard-users", "jwks": URL}, "issuer: is the issuer of this system's own tokens"),
    "no audience": ({"audience": []}, "audience: "),
    "an empty audience": ({"audience": ["shop", ""]}, f"audience.1: {NOT_TEXT}"),
    "a number as audience": ({"audience": 1}, "audience.0: Input should be a valid string"),
    "keys that cannot be found": ({"issuer": "accounts"}, "jwks: is required"),
    "keys without HTTP": ({"jwks": "file:///keys"}, "jwks: must be an http(s) URL"),
    "keys with a password": ({"jwks": "https://a:b@identity/"}, "jwks: must be an http(s) URL"),
    "keys at a broken host": ({"jwks": "https://[/"}, "jwks: Invalid IPv6 URL"),
    "an empty part of a path": ({"user_id": "user..id"}, "user_id: must be the name of a claim"),
    "an empty claim": ({"role": ""}, f"role: {NOT_TEXT}"),
    "an unknown role": ({"role": "groups", "roles": {"ops": "root"}}, "roles.ops: Input should be 'user', 'support'"),
    "a claim without roles": ({"role": "groups"}, "roles: must map values of the claim"),
    "roles without a claim": ({"roles": {"ops": "support"}}, "roles: must map values of the claim"),
    "an unknown field": ({"audiences": "shop"}, "audiences: Extra inputs are not permitted"),
}


@pytest.mark.parametrize(("changed", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_stops_the_start_and_is_named(changed: dict[str, Any], message: str) -> None:
    """The message names the variable, the item and the field."""
    with pytest.raises(ValidationError) as refused:
        settings(issuers=text(GOOD, {**GOOD, "issuer": f"{URL}/two", **changed}))
    assert f"GATEWAY_ISSUERS: item 2, {message}" in str(refused.value)


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_a_missing_field_is_named(missing: str) -> None:
    """Both fields that every issuer needs are required."""
    with pytest.raises(ValueError, match=f"GATEWAY_ISSUERS: item 1, {missing}: Field required"):
        trusted_issuers(text({name: value for name, value in GOOD.items() if name != missing}))


@pytest.mark.parametrize("broken", ["{", "{}", "shop", "null", "[1, 2]", '[{"issuer": ' * 1000])
def test_anything_but_a_list_of_objects_is_refused(broken: str) -> None:
    """The message says so, also for text that is not JSON."""
    with pytest.raises(ValueError, match="GATEWAY_ISSUERS: "):
        trusted_issuers(broken)


def test_each_issuer_is_listed_once() -> None:
    """Otherwise it would be unclear which audience and roles apply."""
    with pytest.raises(ValueError, match="GATEWAY_ISSUERS: item 3, issuer: an earlier item has the same issuer"):
        trusted_issuers(text(GOOD, {**GOOD, "issuer": f"{URL}/two"}, {**GOOD, "audience": "app"}))


def test_without_any_issuer_the_gateway_does_not_start() -> None:
    """A gateway without accounts of its own needs another issuer."""
    assert settings(jwks_url="", issuers=text(GOOD)).jwks_url == ""
    with pytest.raises(ValidationError, match="GATEWAY_JWKS_URL and GATEWAY_ISSUERS are both empty"):
        settings(jwks_url="")
