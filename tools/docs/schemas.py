"""JSON Schema as short descriptions for readers."""

from collections.abc import Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

BOUNDS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "up to {}",
    "exclusiveMaximum": "below {}",
    "minLength": "{} characters at least",
    "maxLength": "{} characters at most",
    "minItems": "{} at least",
    "maxItems": "{} at most",
    "pattern": "`{}`",
}
NAMES = {
    "date-time": "time (RFC 3339)",
    "date": "date",
    "uuid": "UUID",
    "email": "e-mail address",
    "uri": "URL",
    "binary": "file",
    "password": "text",
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "object": "object",
}


def type_of(schema: Schema, link: str = "#{}") -> str:
    """Return the type of a value: `list of [Order](#order)`, `text or null`. `link` is the target of a schema's link,
    with its name in lower case."""
    if ref := schema.get("$ref"):
        name = str(ref).rsplit("/", 1)[-1]
        return f"[{name}]({link.format(name.lower())})"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " · ".join(f"`{value}`" for value in schema["enum"])
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_of(each, link) for each in schema[several]))
    kind = schema.get("type", "anything")
    if isinstance(kind, list):
        return " or ".join(type_of({**schema, "type": each}, link) for each in kind)
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}), link)}"
    if kind == "object" and isinstance(values := schema.get("additionalProperties"), Mapping) and values:
        return f"object, each value {type_of(values, link)}"
    if kind == "string" and "contentMediaType" in schema:
        return "file"
    return NAMES.get(str(schema.get("format")), NAMES.get(str(kind), str(kind)))


def bounds_of(schema: Schema) -> list[str]:
    """Return the bounds of a value: `from 1`, `up to 100`; of an alternative, if it has any."""
    found = [text.format(schema[key]) for key, text in BOUNDS.items() if key in schema]
    for each in schema.get("anyOf", ()):
        found += bounds_of(each)
    if schema.get("default") not in (None, "", [], {}):
        found.append(f"{_shown(schema['default'])} unless given")
    return found


def notes_of(schema: Schema, *more: str) -> str:
    """Return the description and the bounds of a value on one line."""
    said = schema.get("description", "")
    parts = [*more, one_line(said) if said else "", *bounds_of(schema)]
    return escaped("; ".join(part for part in parts if part))


def table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heads, ("---",) * len(heads), *rows]
    return "".join(f"| {' | '.join(row)} |\n" for row in lines)


def fields_table(schema: Schema, link: str = "#{}") -> str:
    """Return the fields of an object as a table."""
    required = schema.get("required", ())
    rows = [
        (f"`{name}`", escaped(type_of(field, link)), notes_of(field, "" if name in required else "optional"))
        for name, field in schema.get("properties", {}).items()
    ]
    return table(("field", "type", ""), rows)


def one_line(text: str) -> str:
    return " ".join(text.split())


def escaped(text: str) -> str:
    """Escape text for a cell of a table."""
    return text.replace("|", "\\|")


def _shown(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
