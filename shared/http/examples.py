"""Examples in an OpenAPI document: that of a schema is composed of those of its fields."""

from collections.abc import Mapping, Sequence
from typing import Any

SCHEMAS = "#/components/schemas/"
BY_FORMAT = {
    "uuid": "01935d2e-7f6a-7c2b-9d51-3f0a4b6c8e10",
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "binary": "(the bytes of the file)",
}
Schema = Mapping[str, Any]


class NoExample(LookupError):
    """A field has no example, and none can be derived from its type. The message is its path."""


def add_examples(schemas: dict[str, dict[str, Any]]) -> None:
    """Give each of these schemas an example, unless a field of it has none: see `example_of`."""
    for schema in schemas.values():
        if "examples" not in schema:
            try:
                schema["examples"] = [example_of(schema, schemas)]
            except NoExample:
                continue


def with_example(parameter: dict[str, Any], schemas: Mapping[str, Schema]) -> dict[str, Any]:
    """Return a parameter whose schema has an example, if one follows from it: see `example_of`.

    It belongs to the schema: a console would send that of a parameter, unless the reader removes it."""
    schema = parameter.get("schema", {})
    if "examples" in schema:
        return parameter
    try:
        return {**parameter, "schema": {**schema, "examples": [example_of(schema, schemas)]}}
    except NoExample:
        return parameter


def example_of(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    """Return an example: a given one, or else one that follows from the default, the values, the format or the parts.

    Text without these needs a given one. Raises `NoExample`, which names the field.
    """
    if given := schema.get("examples"):
        return given[0]
    for key in ("const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    if values := schema.get("enum"):
        return values[0]
    return _of_parts(schema, schemas)


def _of_parts(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    if reference := schema.get("$ref"):
        return example_of(schemas[reference.removeprefix(SCHEMAS)], schemas)
    for alternatives in ("anyOf", "oneOf", "allOf"):
        if several := schema.get(alternatives):
            return _of_alternatives(several, schemas)
    match schema.get("type"):
        case "object":
            return _of_object(schema, schemas)
        case "array":
            return [_of_member("[]", schema.get("items", {}), schemas)]
        case "boolean":
            return True
        case "integer" | "number":
            return schema.get("minimum", 0)
    if schema.get("format") in BY_FORMAT:
        return BY_FORMAT[schema["format"]]
    raise NoExample("")


def _of_alternatives(several: Sequence[Schema], schemas: Mapping[str, Schema]) -> Any:
    try:
        return example_of(several[0], schemas)
    except NoExample:
        if {"type": "null"} in several:
            return None
        raise


def _of_object(schema: Schema, schemas: Mapping[str, Schema]) -> dict[str, Any]:
    fields = {}
    for name, field in schema.get("properties", {}).items():
        try:
            fields[name] = _of_member(name, field, schemas)
        except NoExample:
            if name in schema.get("required", ()):
                raise
    others = schema.get("additionalProperties")
    return fields or ({"name": _of_member("*", others, schemas)} if isinstance(others, Mapping) else {})


def _of_member(name: str, schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    try:
        return example_of(schema, schemas)
    except NoExample as missing:
        raise NoExample(f"{name}.{missing}".rstrip(".")) from None
