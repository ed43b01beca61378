"""The OpenAPI document of one service: errors are declared beside the route and its dependencies."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Path
from pydantic import BaseModel, Field

from shared.config.settings import ServiceSettings
from shared.errors import BadRequest, Conflict, InvalidInput, NotFound, Unauthenticated
from shared.http.application import create_app
from shared.http.examples import NoExample, example_of, with_example
from shared.http.identity import CallerDep
from shared.http.openapi import PROBLEM, add_errors, codes_of, described, drop_errors, raises, share_examples

router = APIRouter()


class PlantNotFound(NotFound):
    code, title = "plant_not_found", "No such plant"


class AlreadyWatered(Conflict):
    code, title = "already_watered", "Watered already"


class Wilted(Conflict):
    code, title = "wilted", "Too late"


@raises(Wilted)
async def _alive() -> None:
    """A dependency that may refuse."""


class Water(BaseModel):
    title: str = Field(examples=["morning"])
    litres: float | None = None


@router.post(
    "/plants/{plant}/water",
    **described(
        "water_plant", "Water a plant", PlantNotFound, AlreadyWatered, responses={202: {"description": "later"}}
    ),
)
async def _water(
    plant: Annotated[str, Path(examples=["fern"])],
    water: Water,
    caller: CallerDep,
    alive: Annotated[None, Depends(_alive)],
) -> str:
    return f"{plant}, {water.litres}, {caller}, {alive}"


@asynccontextmanager
async def _nothing(_: FastAPI) -> AsyncIterator[None]:
    yield


@pytest.fixture
def document() -> dict[str, Any]:
    return create_app(
        "example", ServiceSettings(environment="development"), lifespan=_nothing, routes=[router]
    ).openapi()


@pytest.fixture
def operation(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"]["/plants/{plant}/water"]["post"]
    return found


def test_errors_are_those_of_the_route_its_dependencies_and_all_routes(operation: dict[str, Any]) -> None:
    """By status, each with its codes; the status is that of the class."""
    codes = {status: codes_of(response) for status, response in operation["responses"].items()}
    assert codes == {
        "200": None,
        "202": None,
        "400": ["bad_request"],
        "401": ["unauthenticated"],
        "404": ["plant_not_found"],
        "409": ["already_watered", "wilted"],
        "413": ["content_too_large"],
        "422": ["invalid_input"],
        "500": ["internal"],
        "503": ["unavailable"],
    }
    assert operation["responses"]["409"]["description"].splitlines() == [
        "- `already_watered`: Watered already",
        "- `wilted`: Too late",
    ]


def test_id_and_summary_are_the_given_ones(operation: dict[str, Any]) -> None:
    """Not those that FastAPI derives."""
    assert (operation["operationId"], operation["summary"]) == ("water_plant", "Water a plant")


def test_schemas_have_examples_and_no_titles(document: dict[str, Any]) -> None:
    """A field may be named `title`. The schemas of FastAPI's own errors are gone."""
    assert document["components"]["schemas"].keys() == {"Water", "Problem", "FieldError"}
    assert document["components"]["schemas"]["Water"] == {
        "type": "object",
        "properties": {
            "title": {"type": "string", "examples": ["morning"]},
            "litres": {"anyOf": [{"type": "number"}, {"type": "null"}]},
        },
        "required": ["title"],
        "examples": [{"title": "morning", "litres": 0}],
    }


def test_errors_can_be_dropped_again() -> None:
    """With the response, if it has no other code."""
    operation: dict[str, Any] = {"responses": {"200": {"description": "it"}}}
    add_errors(operation, [BadRequest, AlreadyWatered, Wilted])
    drop_errors(operation, [BadRequest, Wilted, Unauthenticated])
    assert operation["responses"].keys() == {"200", "409"}
    assert codes_of(operation["responses"]["409"]) == ["already_watered"]
    assert operation["responses"]["409"]["description"] == "- `already_watered`: Watered already"


def test_each_error_has_an_example(operation: dict[str, Any]) -> None:
    """It is the body of a response, and goes with its error."""
    examples = operation["responses"]["409"]["content"][PROBLEM]["examples"]
    assert examples["wilted"] == {
        "summary": "Too late",
        "value": {
            "type": "urn:dashboard:problem:wilted",
            "title": "Too late",
            "status": 409,
            "detail": "Too late",
            "code": "wilted",
            "request_id": "b3f1c2d4",
        },
    }
    drop_errors(operation, [Wilted])
    assert examples.keys() == {"already_watered"}


def test_equal_examples_are_written_once() -> None:
    """Others stay at their operations."""
    first: dict[str, Any] = {}
    second: dict[str, Any] = {"parameters": [{"in": "query", "name": "size"}]}
    for each in (first, second):
        add_errors(each, [Wilted, InvalidInput])
    made = {"paths": {"/a": {"get": first}, "/b": {"get": second}}, "components": {}}
    share_examples(made)
    assert made["components"]["examples"].keys() == {"wilted", "invalid_input"}
    for operation in (first, second):
        found = operation["responses"]["409"]["content"][PROBLEM]["examples"]
        assert found == {"wilted": {"$ref": "#/components/examples/wilted"}}
    own = second["responses"]["422"]["content"][PROBLEM]["examples"]["invalid_input"]["value"]
    assert own["detail"] == "colour: is not known; the parameters are size"
    share_examples(made)
    assert first["responses"]["422"]["content"][PROBLEM]["examples"]["invalid_input"].keys() == {"$ref"}


def test_parameters_have_examples(operation: dict[str, Any]) -> None:
    """In their schemas, because a console would send those of parameters. One without any stays as it is."""
    [plant] = operation["parameters"]
    assert plant["schema"]["examples"] == ["fern"]
    assert with_example({"name": "q", "schema": {"type": "string"}}, {}) == {"name": "q", "schema": {"type": "string"}}


def test_what_another_service_says_stays() -> None:
    """A response that has another schema keeps it, and problems come beside it; a reference stays alone."""
    other = {"description": "theirs", "content": {"application/json": {"schema": {"type": "object"}}}}
    operation: dict[str, Any] = {"responses": {"409": other, "404": {"$ref": "#/components/responses/Gone"}}}
    add_errors(operation, [Wilted, PlantNotFound])
    assert operation["responses"]["409"]["content"].keys() == {"application/json", PROBLEM}
    assert operation["responses"]["409"]["description"].splitlines() == ["theirs", "- `wilted`: Too late"]
    assert operation["responses"]["404"] == {"$ref": "#/components/responses/Gone"}


@pytest.mark.parametrize(
    ("schema", "example"),
    [
        ({"type": "string", "examples": ["a", "b"]}, "a"),
        ({"type": "string", "enum": ["c", "d"]}, "c"),
        ({"type": "string", "format": "date"}, "2026-01-31"),
        ({"type": "integer", "minimum": 1}, 1),
        ({"type": "boolean", "default": False}, False),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        ({"$ref": "#/components/schemas/Named"}, {"name": "Ann"}),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Named"}}, [{"name": "Ann"}]),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, {"name": True}),
        ({"type": "object", "properties": {"note": {"type": "string"}}}, {}),
    ],
)
def test_an_example_follows_from_the_parts(schema: dict[str, Any], example: object) -> None:
    """A given one is preferred. What is optional and has none is left out."""
    named = {"type": "object", "properties": {"name": {"type": "string", "examples": ["Ann"]}}}
    assert example_of(schema, {"Named": named}) == example


def test_text_needs_a_given_example() -> None:
    """The error names the field."""
    item = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    schema = {"type": "object", "required": ["items"], "properties": {"items": {"type": "array", "items": item}}}
    with pytest.raises(NoExample, match=r"^items\.\[\]\.name$"):
        example_of(schema, {})
