"""docs/reference/api.md and openapi.json, from the OpenAPI document."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import groupby
from typing import Any, NamedTuple

from services.gateway.api.access import Rule, rules
from tools.docs.schemas import escaped, fields_table, notes_of, one_line, table, type_of
from tools.docs.system import openapi

TAGS = (
    "tokens",
    "accounts",
    "dashboard",
    "orders",
    "notifications",
    "imports",
    "reports",
    "webhooks",
    "users",
    "operators",
)
WHO = {
    "anonymous": "everyone",
    "user": "who is signed in",
    "operator": "administrators and support",
    "admin": "administrators",
}
OTHERS = {
    "nobody": "",
    "operators": "; another's, administrators and support",
    "everyone": "; another's, everyone signed in",
}
HEAD = """# API reference

*Written by `make docs` from what the services say of themselves. The same as a document for tools:
[openapi.json](openapi.json); a running gateway serves its own at `/openapi.json`.*

The base is the gateway's address. A request is signed in by `Authorization: Bearer …` with an access token from
[`POST /v1/tokens`](#post-v1tokens). Times are RFC 3339 in UTC, money is an integer in minor units of its currency, ids
are UUIDs. A list is `{"items": […], "next_cursor": …}`: give the cursor back as `?cursor=` for the next page, until it
is null.

Every error is `application/problem+json`, a [Problem](#problem), and names the fields that were refused. Each operation
may answer 401 (no valid token), 403 (not with this role), 404 (no such thing, or another's), 422 (a field is wrong),
429 and 503 (with `Retry-After`). Another's thing is 404, as if it were not there.
"""


SENTENCE = re.compile(r"(?<=[^.])[.;](?:\s|$)")


class Operation(NamedTuple):
    method: str
    path: str
    described: Mapping[str, Any]

    @property
    def title(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def tag(self) -> str:
        return str(self.described["tags"][0])

    @property
    def description(self) -> str:
        return str(self.described.get("description", "")).strip()

    @property
    def summary(self) -> str:
        """What was written for it; FastAPI's own, which is the function's name, says less than the first sentence."""
        told = str(self.described.get("summary", ""))
        is_name = str(self.described.get("operationId", "")).startswith(told.lower().replace(" ", "_"))
        return SENTENCE.split(one_line(self.description))[0] if is_name and self.description else told


@cache
def document() -> dict[str, Any]:
    return openapi()


def as_json() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


def as_page() -> str:
    ordered = sorted(_operations(), key=lambda each: TAGS.index(each.tag))
    parts = [HEAD, _overview(ordered)]
    for tag, operations in groupby(ordered, lambda each: each.tag):
        parts.append(f"## {tag.capitalize()}\n")
        parts += [_operation(each) for each in operations]
    parts.append("## Schemas\n")
    parts += [_schema(name, schema) for name, schema in sorted(document()["components"]["schemas"].items())]
    return "\n".join(parts)


def _operations() -> Iterator[Operation]:
    for path, item in document()["paths"].items():
        for method, described in item.items():
            yield Operation(method.upper(), path, described)


def _overview(operations: list[Operation]) -> str:
    rows = [(f"[`{each.title}`](#{anchor(each.title)})", escaped(each.summary), _who(each)) for each in operations]
    return table(("operation", "", "who may"), rows)


def anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def _who(operation: Operation) -> str:
    shape = _shape(operation.path)
    rule = next(
        rule for rule in _rules() if (rule.method, re.sub(r"{[^}]*}", "{}", rule.path)) == (operation.method, shape)
    )
    return WHO[rule.access] + OTHERS[rule.others]


def _shape(path: str) -> str:
    return re.sub(r"{[^}]*}", "{}", path)


@cache
def _rules() -> tuple[Rule, ...]:
    return tuple(rules())


def _operation(operation: Operation) -> str:
    described = operation.described
    parts = [f"### {operation.title}\n", f"For {_who(operation)}.\n"]
    if not operation.description.startswith(operation.summary):
        parts.append(f"{operation.summary}.\n")
    if operation.description:
        parts.append(f"{operation.description}\n")
    if parameters := described.get("parameters"):
        parts.append(_parameters(parameters))
    if body := described.get("requestBody"):
        parts.append(f"Body: {_content(body)}.\n")
        parts += _inline(body)
    parts.append(_responses(described["responses"]))
    return "\n".join(parts)


def _inline(body: Mapping[str, Any]) -> list[str]:
    """The fields of a body that has no schema of its own."""
    tables = (
        fields_table(how["schema"]) for how in body["content"].values() if how.get("schema", {}).get("properties")
    )
    return list(dict.fromkeys(tables))


def _parameters(parameters: list[Mapping[str, Any]]) -> str:
    rows = []
    for each in parameters:
        needed = "" if each.get("required") else "optional"
        notes = notes_of({**each["schema"], "description": each.get("description", "")}, needed)
        rows.append((f"`{each['name']}`", each["in"], escaped(type_of(each["schema"])), notes))
    return table(("parameter", "in", "type", ""), rows)


def _content(body: Mapping[str, Any]) -> str:
    kinds = body.get("content", {}).items()
    return " or ".join(f"{escaped(type_of(how.get('schema', {})))} as `{kind}`" for kind, how in kinds) or "nothing"


def _responses(responses: Mapping[str, Any]) -> str:
    rows = []
    for status, response in responses.items():
        if status in ("4XX", "5XX"):
            continue
        headers = ", ".join(f"`{name}`" for name in response.get("headers", {}))
        said = "" if response.get("description") == "Successful Response" else one_line(response.get("description", ""))
        rows.append(
            (f"`{status}`", _content(response), "; ".join(filter(None, (said, headers and f"headers {headers}"))))
        )
    return table(("answer", "", ""), rows)


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    parts = [f"### {name}\n"]
    if text := schema.get("description"):
        parts.append(f"{text.strip()}\n")
    if schema.get("properties"):
        parts.append(fields_table(schema))
    else:
        parts.append(f"{type_of(schema)}\n")
    return "\n".join(parts)
