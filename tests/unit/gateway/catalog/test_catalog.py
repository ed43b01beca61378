"""The panels file: what it declares, and what each mistake in it is told as."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.api.access import own_paths
from services.gateway.catalog.catalog import Catalog, load, packaged
from services.gateway.catalog.document import InvalidPanelsFile, line_of
from services.gateway.settings import PANELS_FILE
from shared.http.tokens import USER_ISSUER

CRM = """
[services.crm]
url = "http://crm.internal/api"

[panels.loyalty]
service = "crm"
get = "/customers/{user_id}/points"
kind = "object"
timeout_ms = 300
"""
SAME = '{ method = "GET", path = "/v1/{a}", service = "crm", access = "user" }'
Load = Callable[[str], Catalog]


@pytest.fixture
def loaded(tmp_path: Path) -> Load:
    """Loads a file with that content."""

    def load_text(text: str) -> Catalog:
        path = tmp_path / "panels.toml"
        path.write_text(text)
        return load(path, own_paths())

    return load_text


def mistakes(loaded: Load, text: str) -> list[str]:
    """Return what is said about the mistakes, without the path of the file."""
    with pytest.raises(InvalidPanelsFile) as invalid:
        loaded(text)
    return [line.partition("panels.toml:")[2] for line in str(invalid.value).splitlines()]


def test_the_packaged_file_declares_the_panels_of_this_system() -> None:
    catalog = packaged()
    declared = [(panel.name, panel.service, panel.protocol, panel.kind, panel.timeout_ms) for panel in catalog.panels]
    assert declared == [
        ("user", "users", "batch", "object", 500),
        ("orders", "orders", "batch", "list", 800),
        ("notifications", "worker", "batch", "list", 800),
        ("analytics", "worker", "batch", "object", 800),
    ]
    assert [panel.name for panel in catalog.panels if panel.knows_users] == ["user"]
    assert catalog.internal == ["users", "orders", "worker"]
    assert all(panel.issuers == frozenset({USER_ISSUER}) for panel in catalog.panels)


def test_a_write_touches_the_panels_that_name_it() -> None:
    touched = {operation.signature: operation.touches for operation in packaged().operations if operation.touches}
    assert touched["POST /v1/orders/{id}/ship"] == ("orders",)
    assert touched["PATCH /v1/me"] == ("user",)
    assert touched["DELETE /v1/me"] == ("user", "orders", "notifications", "analytics")


def test_a_rest_panel_needs_four_keys(loaded: Load) -> None:
    """Everything else has a default; nothing is kept in memory unless the file says how long."""
    catalog = loaded(CRM)
    (panel,) = catalog.panels
    assert (panel.protocol, panel.title, panel.roles) == ("rest", "Loyalty", ("user", "support", "admin"))
    assert not panel.is_cached
    assert not panel.own_only
    spec = catalog.services["crm"]
    assert (spec.internal, spec.issuers, spec.concurrency) == (False, None, 32)
    assert not catalog.has_accounts


@pytest.mark.parametrize(
    ("more", "is_cached", "needs_feed"),
    [
        ("max_age_s = 60", True, False),
        ('changed_by = ["order.paid"]', True, True),
        ('max_age_s = 60\nchanged_by = ["order.paid"]', True, True),
        ("max_age_s = 0", False, False),
    ],
)
def test_when_a_rest_panel_is_kept_in_memory(loaded: Load, more: str, is_cached: bool, needs_feed: bool) -> None:
    """By age, or until a change of it is announced, which has to be received."""
    (panel,) = loaded(CRM + more).panels
    assert (panel.is_cached, panel.needs_feed) == (is_cached, needs_feed)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('get = "/customers/{user_id}/points"', 'get = "/customers/{claim:customer_no}/points"'),
        ("/api", '/api"\nforward = ["Authorization'),
    ],
    ids=["claim", "forwarded header"],
)
def test_a_panel_that_needs_the_callers_token_is_their_own(loaded: Load, before: str, after: str) -> None:
    if before == "/api":
        after = '/api"\nforward = ["Authorization"]\n#'
    (panel,) = loaded(CRM.replace(before, after)).panels
    assert panel.own_only


def test_secrets_come_from_elsewhere_and_are_not_shown(
    loaded: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the environment or a file, as the file says; `repr` shows none."""
    monkeypatch.setenv("CRM_KEY", "from the environment")
    secret = tmp_path / "secret"
    secret.write_text("from a file\n")
    headers = f'headers = {{ "X-Api-Key" = "env:CRM_KEY", "X-Other" = "file:{secret}", "X-Plain" = "plain" }}\n'
    catalog = loaded(CRM.replace("\n\n[panels", f"\n{headers}\n[panels"))
    spec = catalog.services["crm"]
    assert spec.headers == (("X-Api-Key", "from the environment"), ("X-Other", "from a file"), ("X-Plain", "plain"))
    assert secret in catalog.sources
    assert "from" not in repr(spec)


def test_the_url_of_every_service_can_be_set(loaded: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its variable; several are the replicas."""
    monkeypatch.setenv("GATEWAY_CRM_URL", "http://one:1/, http://two:2")
    assert loaded(CRM).services["crm"].urls == "http://one:1,http://two:2"
    monkeypatch.setenv("GATEWAY_CRM_URL", "ftp://one")
    assert mistakes(loaded, CRM) == [
        "3: services.crm.url: GATEWAY_CRM_URL: must be http(s) base URLs, separated by commas"
    ]


def test_the_url_of_a_packaged_service_can_be_given() -> None:
    catalog = load(PANELS_FILE, urls={"orders": "http://elsewhere"})
    assert catalog.services["orders"].urls == "http://elsewhere"
    assert catalog.services["users"].urls == "http://127.0.0.1:8001"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('service = "crm"', 'service = "crn"', "6: panels.loyalty.service: there is no service 'crn'; known: crm"),
        ("timeout_ms", "timeout", "5: panels.loyalty.timeout_ms: is missing"),
        ("timeout_ms = 300", "timeout_ms = 0", "9: panels.loyalty.timeout_ms: Input should be greater"),
        ('kind = "object"', 'kind = "thing"', "8: panels.loyalty.kind: Input should be 'object' or 'list'"),
        ("[panels.loyalty]", "[panels.Loyalty]", "5: panels.Loyalty: String should match pattern"),
        ("[services.crm]", "[services.redis]", "2: services.redis: is reserved, as are jwks, rabbitmq"),
        ("{user_id}", "{userid}", "7: panels.loyalty.get: unknown variable {userid}; known: {user_id}, {claim:NAME}"),
        ("{user_id}", "{user_id", "7: panels.loyalty.get: has a brace without its other half"),
        ("/customers", "customers", "7: panels.loyalty.get: must be a path such as /customers/{user_id}"),
        ("/customers", "//customers", "7: panels.loyalty.get: must be a path such as /customers/{user_id}"),
        ("/customers", "/a b", "7: panels.loyalty.get: must be a path such as /customers/{user_id}"),
        ("http://crm", "crm", "3: services.crm.url: must be http(s) base URLs, separated by commas"),
        ("kind =", 'pick = "data"\nkind =', "8: panels.loyalty.pick: must be a JSON pointer such as /data/points"),
        ("kind =", 'pick = "/a~2"\nkind =', "8: panels.loyalty.pick: must be a JSON pointer such as /data/points"),
        ("kind =", 'roles = ["boss"]\nkind =', "8: panels.loyalty.roles[1]: Input should be 'user', 'support'"),
        ("kind =", 'changed_by = ["order.payd"]\nkind =', "8: panels.loyalty.changed_by[1]: there is no event"),
        ("kind =", 'protocol = "batch"\nkind =', '5: panels.loyalty: has the protocol "batch", which has no get'),
        ('get = "/customers/{user_id}/points"', 'protocol = "rest"', '5: panels.loyalty: needs the key get = "/path'),
        ("\n\n[panels", '\nheaders = { "Host" = "x" }\n[panels', "4: services.crm.headers.Host: cannot be set"),
        ("\n\n[panels", '\nheaders = { "a b" = "x" }\n[panels', "4: services.crm.headers.a b: is not the name of"),
        (
            "\n\n[panels",
            '\nheaders = { "X-Key" = "env:NO_SUCH_VARIABLE" }\n[panels',
            "4: services.crm.headers.X-Key: the environment variable NO_SUCH_VARIABLE is not set",
        ),
        (
            "\n\n[panels",
            '\nheaders = { "X-Key" = "file:/no/such/file" }\n[panels',
            "4: services.crm.headers.X-Key: the file cannot be read",
        ),
        ("[panels.loyalty]", "[panels.loyalty", "5: Expected ']'"),
        ("url =", "url = =", "3: Invalid value"),
    ],
)
def test_a_mistake_is_named_with_its_line(loaded: Load, before: str, after: str, told: str) -> None:
    assert before in CRM
    assert any(mistake.startswith(told) for mistake in mistakes(loaded, CRM.replace(before, after)))


def test_an_unknown_key_is_told_with_the_known_ones(loaded: Load) -> None:
    (told,) = mistakes(loaded, CRM + "timeout = 5\n")
    assert told.startswith("10: panels.loyalty.timeout: unknown key; known: service, protocol, get, pick, kind")


def test_every_mistake_is_told(loaded: Load) -> None:
    """At once, in the order of the file."""
    text = CRM.replace("crm.internal", "crm.internal\\u0020").replace('"crm"', '"crn"') + 'changed_by = ["a.b"]\n'
    assert [told.partition(":")[0] for told in mistakes(loaded, text)] == ["6", "10"]


@pytest.mark.parametrize(
    ("route", "told"),
    [
        ('{ method = "GET", path = "/v1/a", service = "crn", access = "user" }', "routes[1].service: there is no"),
        ('{ method = "GET", path = "v1/a", service = "crm", access = "user" }', "routes[1].path: must be a path"),
        ('{ method = "GET", path = "/v1/{a:int}", service = "crm", access = "user" }', "routes[1].path: must be"),
        ('{ method = "get", path = "/v1/a", service = "crm", access = "user" }', "routes[1].method: Input should"),
        ('{ method = "GET", path = "/v1/a", service = "crm", access = "all" }', "routes[1].access: Input should"),
        (
            '{ method = "GET", path = "/v1/{a}", target = "/{b}", service = "crm", access = "user" }',
            "routes[1].target: has {b}, which the path has not",
        ),
        (
            '{ method = "GET", path = "/v1/a", service = "crm", access = "user", touches = ["points"] }',
            "routes[1].touches[1]: there is no panel 'points'; known: loyalty",
        ),
        (
            f"{SAME}, {SAME.replace('{a}', '{b:uuid}')}",
            "routes[2].path: is declared twice; first as routes[1]",
        ),
        ('{ method = "GET", path = "/livez", service = "crm", access = "user" }', "routes[1].path: is the gateway's"),
        (
            '{ method = "GET", path = "/v1/users/{who}/dashboard", service = "crm", access = "user" }',
            "routes[1].path: is the gateway's",
        ),
    ],
)
def test_mistakes_in_routes(loaded: Load, route: str, told: str) -> None:
    assert any(mistake.partition(" ")[2].startswith(told) for mistake in mistakes(loaded, f"routes = [{route}]{CRM}"))


def test_a_panel_that_names_no_route(loaded: Load) -> None:
    """It is a mistake where routes are declared; a file without routes may still name them."""
    touched = 'touched_by = ["POST  /v1/points"]\n'
    assert loaded(CRM + touched).panels
    route = '{ method = "POST", path = "/v1/points", service = "crm", access = "user" }'
    (operation,) = loaded(f"routes = [{route}]{CRM}{touched}").operations
    assert operation.touches == ("loyalty",)
    (told,) = mistakes(loaded, f"routes = [{route}]{CRM}" + touched.replace("points", "point"))
    assert 'there is no route "POST  /v1/point"' in told


def test_events_of_other_applications_are_declared(loaded: Load) -> None:
    text = f'events = ["shop.paid"]{CRM}changed_by = ["shop.paid", "order.paid"]\n'
    assert loaded(text).panels[0].changed_by == ("shop.paid", "order.paid")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidPanelsFile, match="cannot be read"):
        load(tmp_path / "missing.toml")


def test_a_line_is_found_within_a_list_of_several_lines() -> None:
    lines = ["routes = [", "  { a = 1 },", "  { a = 2 },", "]", "[t]", "b = [", '  "x",', '  "y",', "]", "c = 1"]
    assert line_of(lines, ("routes", 1, "a")) == 3
    assert line_of(lines, ("t", "b", 1)) == 8
    assert line_of(lines, ("t", "b")) == 6
    assert line_of(lines, ("t", "d")) == 5
    assert line_of(lines, ()) == 1


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_text(text, encoding="utf-8", errors="surrogatepass")
    with pytest.raises(InvalidPanelsFile):
        load(path)
