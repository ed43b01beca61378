"""The OpenAPI document of a service. Each route declares its id, its summary and its errors with `described`:

    @router.post("/{order_id}/pay", **described("pay_order", "Pay an order", OrderNotFound, WrongState))

The status, the code and the example of an error are those of its class. What the dependencies of a route raise is
declared at the dependency, with `raises`; what every route may answer is added here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any, TypeVar

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.encoders import jsonable_encoder
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute, iter_route_contexts

from shared.errors import (
    BadRequest,
    BodyTooLarge,
    DashboardError,
    InvalidInput,
    Problem,
    Unavailable,
    problem,
    unknown_parameter,
)
from shared.http.examples import SCHEMAS, add_examples, with_example

PROBLEM = "application/problem+json"
EXAMPLES = "#/components/examples/"
_UNKNOWN = "colour"
"""A parameter that no operation has."""
OF_ALL = (BadRequest, InvalidInput, DashboardError, Unavailable)
"""What every route may answer: repeated headers, unknown parameters, bugs and outages."""
_ADDED_BY_FASTAPI = ("HTTPValidationError", "ValidationError")
_DATA = ("examples", "example", "default", "enum", "const")
_MAPS = ("properties", "$defs")
"""Keys of a schema whose value has a schema for each name."""
_GENERIC = re.compile(r"^([A-Za-z]+)_([A-Za-z]+)_$")
Document = dict[str, Any]
Errors = Iterable[type[DashboardError]]
F = TypeVar("F", bound=Callable[..., Any])


def described(
    operation_id: str, summary: str, *errors: type[DashboardError], responses: Mapping[int, Document] | None = None
) -> Document:
    """Return the arguments of a route's decorator: its id, unique in the whole API, its summary, and the errors that it
    raises. `responses` describes responses that FastAPI cannot derive, by status."""
    operation: Document = {"responses": {f"{status:d}": response for status, response in (responses or {}).items()}}
    add_errors(operation, errors)
    return {"operation_id": operation_id, "summary": summary, "responses": operation["responses"]}


def raises(*errors: type[DashboardError]) -> Callable[[F], F]:
    """Declare what a dependency raises, for the documents of all routes that use it."""

    def declare(dependency: F) -> F:
        dependency.__dict__["raises"] = errors
        return dependency

    return declare


def add_errors(operation: Document, errors: Errors) -> None:
    """Add errors to an operation: one response for each status, with the codes."""
    responses = operation.setdefault("responses", {})
    for error in errors:
        response = responses.setdefault(str(error.status), {"description": ""})
        if "$ref" not in response:
            response.setdefault("content", {}).setdefault(PROBLEM, {"schema": _coded()})
        codes = codes_of(response)
        if codes is not None and error.code not in codes:
            codes.append(error.code)
            examples = response["content"][PROBLEM].setdefault("examples", {})
            examples[error.code] = {"summary": error.title, "value": _example_of(error, operation)}
            response["description"] = f"{response['description']}\n- `{error.code}`: {error.title}".strip()
    operation["responses"] = dict(sorted(responses.items()))


def drop_errors(operation: Document, errors: Errors) -> None:
    """Remove errors from an operation that cannot occur there, and responses without any other code."""
    for error in errors:
        response = operation.get("responses", {}).get(str(error.status), {})
        codes = codes_of(response) or []
        if error.code in codes:
            codes.remove(error.code)
            response["content"][PROBLEM].get("examples", {}).pop(error.code, None)
            lines = response["description"].splitlines()
            response["description"] = "\n".join(line for line in lines if not line.startswith(f"- `{error.code}`:"))
            if not codes:
                del operation["responses"][str(error.status)]


def codes_of(response: Document) -> list[str] | None:
    """Return the list of codes in a response that `add_errors` has made, and None for any other."""
    schema = response.get("content", {}).get(PROBLEM, {}).get("schema", {})
    codes: list[str] | None = schema.get("properties", {}).get("code", {}).get("enum")
    return codes


def _example_of(error: type[DashboardError], operation: Document) -> Document:
    """Return a problem as a client of this operation may get it."""
    parameters = operation.get("parameters", ()) if error is InvalidInput else ()
    known = tuple(each["name"] for each in parameters if each.get("in") == "query")
    return _example(error, known)  # type: ignore[arg-type]  # mypy takes the class for an instance


@cache
def _example(error: type[DashboardError], known: tuple[str, ...]) -> Document:
    """`known` has the parameters of the query, for the error that names them. Nothing changes the returned document."""
    example = error.example()
    if error is InvalidInput:
        example = InvalidInput.of(_UNKNOWN, unknown_parameter(known))
    return problem(error.status, error.code, error.title, example.detail, request_id="b3f1c2d4", errors=example.errors)


def share_examples(document: Document) -> None:
    """Move the examples of errors to the components, each once, and refer to them. One that differs from that of
    another operation with the same code stays where it is."""
    shared = document["components"].setdefault("examples", {})
    for item in document["paths"].values():
        for operation in item.values():
            for response in operation.get("responses", {}).values():
                examples = response.get("content", {}).get(PROBLEM, {}).get("examples", {})
                for code in codes_of(response) or ():
                    if code in examples and shared.setdefault(code, examples[code]) == examples[code]:
                        examples[code] = {"$ref": f"{EXAMPLES}{code}"}


def _coded() -> Document:
    """Return the schema of a problem with one of these codes. Generators of clients take it for a `Problem`."""
    code: Document = {"type": "string", "enum": []}
    return {"allOf": [{"$ref": f"{SCHEMAS}Problem"}], "properties": {"code": code}}


def document(app: FastAPI) -> Document:
    """Return the document of an application."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, routes=app.routes)
        for operation, dependant in _operations(made, app):
            if PROBLEM not in operation["responses"].get("422", {}).get("content", {}):
                operation["responses"].pop("422", None)
            of_body = [BodyTooLarge] if "requestBody" in operation else []
            add_errors(operation, [*OF_ALL, *of_body, *_raised(dependant)])
        schemas = made.setdefault("components", {}).setdefault("schemas", {})
        for name in _ADDED_BY_FASTAPI:
            schemas.pop(name, None)
        schemas |= problem_schemas()
        made = _with_plain_names(made)
        complete(made)
        app.openapi_schema = made
    return app.openapi_schema


def _with_plain_names(made: Document) -> Document:
    """Return a document in which `Page_Order_`, the name of a generic model, is `OrderPage`."""
    schemas = made["components"]["schemas"]
    renamed = {name: _GENERIC.sub(r"\2\1", name) for name in schemas}
    made = with_refs(made, renamed)
    made["components"]["schemas"] = {renamed[name]: schema for name, schema in made["components"]["schemas"].items()}
    return made


def complete(made: Document) -> None:
    """Name each schema by its key alone, and give it an example, and each parameter. Generators name classes by titles,
    and those of FastAPI, one for each field, are not unique."""
    schemas = made["components"]["schemas"]
    drop_titles(made.get("paths"))
    drop_titles(list(schemas.values()))
    add_examples(schemas)
    for item in made.get("paths", {}).values():
        for operation in item.values():
            if parameters := operation.get("parameters"):
                operation["parameters"] = [with_example(each, schemas) for each in parameters]


def problem_schemas() -> Document:
    """Return the schemas of errors."""
    # Without nulls, as FastAPI writes it: equal to the services' own, so that it appears once.
    problem: Document = jsonable_encoder(Problem.model_json_schema(ref_template=SCHEMAS + "{model}"), exclude_none=True)
    return {**problem.pop("$defs", {}), "Problem": problem}


def with_refs(node: Any, renamed: Mapping[str, str]) -> Any:
    """Return a copy in which references use the new names."""
    if isinstance(node, list):
        return [with_refs(part, renamed) for part in node]
    if not isinstance(node, dict):
        return node
    copied = {key: with_refs(value, renamed) for key, value in node.items()}
    if isinstance(ref := copied.get("$ref"), str) and ref.startswith(SCHEMAS):
        name = ref.removeprefix(SCHEMAS)
        copied["$ref"] = SCHEMAS + renamed.get(name, name)
    return copied


def drop_titles(node: Any) -> None:
    """Remove the titles of all schemas below `node`; a field may have this name."""
    if isinstance(node, list):
        for part in node:
            drop_titles(part)
    elif isinstance(node, dict):
        node.pop("title", None)
        for key, value in node.items():
            if key not in _DATA:
                drop_titles(list(value.values()) if key in _MAPS else value)


def _operations(made: Document, app: FastAPI) -> Iterator[tuple[Document, Dependant]]:
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                yield made["paths"][route.path_format][method.lower()], route.dependant


def _raised(dependant: Dependant) -> Iterator[type[DashboardError]]:
    yield from getattr(dependant.call, "raises", ())
    for dependency in dependant.dependencies:
        yield from _raised(dependency)
