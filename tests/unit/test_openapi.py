"""The OpenAPI document of the whole API is complete: ids, summaries, errors and examples, and it is valid."""

import importlib
import pkgutil
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

import services
import shared
from shared.errors import DashboardError
from shared.http.examples import NoExample, example_of
from shared.http.openapi import EXAMPLES, PROBLEM, codes_of
from tools.docs.api import document as whole
from tools.docs.api import services as applications

OF_ALL = {"400", "422", "429", "500", "503"}
"""Every operation may be refused, limited or unavailable."""
INTERNAL = {
    "conflict",  # the root of others
    "exports_busy",  # between services: the gateway answers service_unavailable
    "link_not_wanted",
    "method_not_allowed",
    "page_unknown",
}
"""The codes of errors that no operation of the API answers."""
OF_REPORTS = {"report_not_found", "too_many_downloads", "downloads_busy"}
"""Those of a feature that can be removed, in modules that stay."""
MESSAGES = Path(__file__).parents[2] / "services/gateway/web/js/messages.js"


def schemas() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = whole()["components"]["schemas"]
    return found


@cache
def operations() -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in whole()["paths"].items()
        for method, operation in item.items()
    }


def _codes(operation: dict[str, Any]) -> set[str]:
    return {code for response in operation["responses"].values() for code in codes_of(response) or ()}


def _titles(node: Any, path: str = "") -> Iterator[str]:
    """Yield where a schema has a title. Data is left out, and a field may have this name."""
    if isinstance(node, list):
        for number, part in enumerate(node):
            yield from _titles(part, f"{path}/{number}")
    elif isinstance(node, dict):
        if isinstance(node.get("title"), str):
            yield path
        for key, value in node.items():
            if key not in ("example", "examples", "default"):
                yield from _titles(value, f"{path}/{key}")


def _modules(package: ModuleType) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".migrations" not in found.name:
            yield importlib.import_module(found.name)


def _error_classes() -> set[type[DashboardError]]:
    """Return all error classes of the project, with the root."""
    for package in (services, shared):
        for _ in _modules(package):
            pass

    def below(cls: type[DashboardError]) -> Iterator[type[DashboardError]]:
        yield cls
        for each in cls.__subclasses__():
            yield from below(each)

    return {cls for cls in below(DashboardError) if cls.__module__.startswith(("services.", "shared."))}


def test_every_route_declares_its_id() -> None:
    """By `**described(…)` in its decorator; FastAPI derives an id from the path otherwise."""
    routes = [each for app in applications().values() for each in iter_route_contexts(app.routes)]
    public = [each for each in routes if isinstance(each.original_route, APIRoute) and each.include_in_schema]
    assert [f"{each.path}: add **described(…)" for each in public if _is_public(each) and not each.operation_id] == []


def _is_public(route: RouteContext) -> bool:
    return (route.path or "").startswith(("/v1/", "/.well-known/"))


def test_ids_are_unique_names() -> None:
    """Generators of clients name functions by them."""
    by_id = defaultdict(list)
    for name, operation in operations().items():
        by_id[operation.get("operationId", "no id")].append(name)
    assert {found: names for found, names in by_id.items() if len(names) > 1} == {}
    assert [found for found in by_id if not re.fullmatch(r"[a-z]+(_[a-z]+)*", found)] == []


def test_every_operation_has_a_summary() -> None:
    """In the imperative, without a full stop. FastAPI's default is the function's name in title case."""
    assert [name for name, operation in operations().items() if not operation.get("summary")] == []
    assert [each["summary"] for each in operations().values() if each["summary"].endswith(".")] == []


def test_every_operation_declares_its_errors() -> None:
    """Each error response is a problem with a list of codes. There are those that all operations have, 401 where
    credentials are needed, and 404 where the path names something."""
    incomplete = {}
    for name, operation in operations().items():
        found = {status for status, response in operation["responses"].items() if codes_of(response)}
        wanted = OF_ALL | ({"401"} if operation["security"] else set()) | ({"404"} if "{" in name else set())
        ranges = {status for status in operation["responses"] if status in ("4XX", "5XX", "default")}
        if missing := (wanted - found) | ranges:
            incomplete[name] = missing
    assert incomplete == {}, "name the error classes in **described(…)"


def test_every_error_is_declared_by_an_operation() -> None:
    """A new error class is named in `**described(…)` of the routes that raise it."""
    declared = set[str]().union(*map(_codes, operations().values()))
    expected = INTERNAL if "/v1/reports" in whole()["paths"] else INTERNAL | OF_REPORTS
    assert {cls.code: cls for cls in _error_classes() if cls.code not in declared | expected} == {}
    assert declared & INTERNAL == set()


def test_a_code_has_one_status() -> None:
    """Two classes may share a code, in two services, but a client sees one error."""
    by_code = defaultdict(set)
    for cls in _error_classes():
        by_code[cls.code].add(cls.status)
    assert {code: found for code, found in by_code.items() if len(found) > 1} == {}


def test_the_page_has_words_for_every_code() -> None:
    """A person reads a sentence, whatever an operation answers."""
    known = set(re.findall(r"^  (\w+): ", MESSAGES.read_text(), re.MULTILINE))
    assert set[str]().union(*map(_codes, operations().values())) - known == set()


def test_every_schema_has_an_example() -> None:
    """That of a schema is composed of those of its fields: give one to each text, with `Field(examples=[…])`."""
    missing = []
    for name, schema in schemas().items():
        try:
            example_of(schema, schemas())
        except NoExample as field:
            missing.append(f"{name}.{field}")
    assert missing == []
    assert [name for name, schema in schemas().items() if not schema.get("examples")] == []


def test_examples_are_valid() -> None:
    """An example conforms to its schema, also in its formats."""
    for name, schema in schemas().items():
        checked = {"$ref": f"#/components/schemas/{name}", "components": whole()["components"]}
        validator = Draft202012Validator(checked, format_checker=Draft202012Validator.FORMAT_CHECKER)
        for example in schema["examples"]:
            assert [error.message for error in validator.iter_errors(example)] == [], name


def _parameters() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, operation in operations().items():
        for parameter in operation.get("parameters", ()):
            yield f"{name}: {parameter['name']}", parameter["schema"]


def test_every_parameter_has_an_example() -> None:
    """One that follows from its type, its values or its default is added; give one to each text, with
    `Query(examples=[…])`. It conforms to the schema."""
    assert [name for name, schema in _parameters() if not schema.get("examples")] == []
    invalid = {}
    for name, schema in _parameters():
        checked = {**schema, "components": whole()["components"]}
        validator = Draft202012Validator(checked, format_checker=Draft202012Validator.FORMAT_CHECKER)
        errors = [error.message for example in schema["examples"] for error in validator.iter_errors(example)]
        if errors:
            invalid[name] = errors
    assert invalid == {}


def _examples_of_errors() -> Iterator[tuple[str, int, str, dict[str, Any], dict[str, Any]]]:
    """Yield operation, status, code, schema and example."""
    for name, operation in operations().items():
        for status, response in operation["responses"].items():
            for code in codes_of(response) or ():
                content = response["content"][PROBLEM]
                example = content["examples"].get(code, {})
                if shared_one := example.get("$ref"):
                    example = whole()["components"]["examples"][shared_one.removeprefix(EXAMPLES)]
                yield name, int(status), code, content["schema"], example.get("value", {})


def test_every_error_has_an_example() -> None:
    """For each code of each operation: a problem with this code and the status of the response, which conforms to the
    schema."""
    for name, status, code, schema, example in _examples_of_errors():
        assert (example.get("status"), example.get("code")) == (status, code), name
        checked = Draft202012Validator({**schema, "components": whole()["components"]})
        assert [error.message for error in checked.iter_errors(example)] == [], name


def test_the_example_of_invalid_input_is_of_its_operation() -> None:
    """It names the parameters that this operation has."""
    details = {name: each["detail"] for name, _, code, _, each in _examples_of_errors() if code == "invalid_input"}
    assert details["GET /v1/dashboard"] == "colour: is not known; the parameters are budget_ms, panels"
    assert details["GET /v1/me"] == "colour: is not known; there are no parameters"


def test_schemas_are_named_by_their_keys_alone() -> None:
    """Generators name classes by titles, which would not be unique."""
    assert list(_titles(list(schemas().values()))) == []
    assert list(_titles(whole()["paths"])) == []


def test_the_document_is_valid() -> None:
    """It is OpenAPI 3.1."""
    assert whole()["openapi"].startswith("3.1.")
    assert [error.message[:500] for error in OpenAPIV31SpecValidator(whole()).iter_errors()] == []
