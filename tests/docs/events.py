"""docs/reference/asyncapi.yaml and events.md, from the event types and the topology."""

import inspect
import json
from functools import cache
from importlib.metadata import version
from typing import Any

import msgspec
import yaml

from services.worker.hints import KEY as HINT
from services.worker.hints import Hint
from services.worker.imports.progress import KEY as IMPORT
from services.worker.imports.progress import ImportHint
from shared import topology
from shared.events import EVENTS, Event, WebhookPing, schema_of
from tests.docs.schemas import fields_table, one_line, table

SCHEMAS = "#/components/schemas/"
MESSAGES = "#/components/messages/"
PRODUCERS = {"user": "users", "order": "orders", "orders": "orders", "import": "worker"}
"""The service behind an event, by the first word of its type."""
PUBLISHED = {name: kind for name, kind in EVENTS.items() if kind is not WebhookPing}
LIVE: dict[str, type[msgspec.Struct]] = {HINT: Hint, IMPORT: ImportHint}
LIVE_SAYS = {HINT: "These panels of the user look different now.", IMPORT: "How far an import of the user is."}
HEADERS: dict[str, Any] = {
    "type": "object",
    "description": "The attributes of CloudEvents 1.0, and the trace.",
    "required": ["specversion", "id", "type", "source", "time", "subject", "dataschema"],
    "properties": {
        "specversion": {"const": "1.0"},
        "id": {"type": "string", "format": "uuid", "description": "the event's id; also the message's `message_id`"},
        "type": {"type": "string", "description": "also the routing key"},
        "source": {"type": "string", "description": "the service, such as `/orders`"},
        "time": {"type": "string", "format": "date-time"},
        "subject": {"type": "string", "format": "uuid", "description": "the user that it is about"},
        "dataschema": {"type": "string", "description": "type and version, such as `urn:dashboard:event:order.paid:1`"},
        "traceparent": {"type": "string", "description": "the trace in which it happened, if there is one (W3C)"},
    },
}
INTRODUCTION = """What the services of Dashboard tell each other by RabbitMQ.

An event is published by its service's outbox, persistent and confirmed, and may come more than once and in any order: a
consumer keeps a ledger by `id`. An event only ever gains fields, with a default; what else changes is a new version.
Live hints are transient: one that is lost costs a moment."""
PAGE = """# Events

*Written by `make docs` from `shared/events.py` and `shared/topology.py`. The same as a document for tools:
[asyncapi.yaml](asyncapi.yaml) (AsyncAPI 3.0).*

{introduction}

On the wire an event is a message to the topic exchange `events` with its type as routing key: its fields as a JSON
body, the attributes below as headers. Each job of the worker has a quorum queue of its own, bound to what it is about;
what a queue gives up goes by the exchange `events.dead` to the queue `worker.dead`.

{overview}
{headers}"""


@cache
def schemas() -> dict[str, Any]:
    kinds = [*PUBLISHED.values(), *LIVE.values()]
    _, components = msgspec.json.schema_components(kinds, ref_template=SCHEMAS + "{name}")
    ours: dict[str, Any] = json.loads(json.dumps(components))
    return {name: _described(schema) for name, schema in ours.items()}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """With what msgspec leaves out: that times are always written with their offset."""
    for name, field in schema.get("properties", {}).items():
        if name.endswith("_at"):
            field["format"] = "date-time"
    if text := schema.get("description"):
        schema["description"] = inspect.cleandoc(text)
    return schema


def producer(event: type[Event]) -> str:
    return PRODUCERS[event.type.split(".")[0]]


def consumers(event: type[Event]) -> list[str]:
    return [job for job, kinds in topology.JOBS.items() if event in kinds]


def document() -> dict[str, Any]:
    """AsyncAPI 3.0."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Dashboard: events", "version": version("dashboard"), "description": INTRODUCTION},
        "defaultContentType": "application/json",
        "servers": {"rabbitmq": {"host": "rabbitmq:5672", "protocol": "amqp", "protocolVersion": "0.9.1"}},
        "channels": {name: _event_channel(name) for name in PUBLISHED}
        | {f"worker.{job}": _queue_channel(job) for job in topology.JOBS}
        | {f"live.{key}": _live_channel(key) for key in LIVE},
        "operations": dict(_operations()),
        "components": {
            "schemas": {"EventHeaders": HEADERS, **schemas()},
            "messages": {name: _event_message(kind) for name, kind in PUBLISHED.items()}
            | {f"live.{key}": _live_message(key) for key in LIVE},
        },
    }


def as_yaml() -> str:
    head = "# Written by `make docs` from shared/events.py and shared/topology.py.\n"
    return head + yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


class _Plain(yaml.SafeDumper):
    """Writes what is there twice twice, and text of several lines as such."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Plain.add_representer(str, _text)


def _event_channel(name: str) -> dict[str, Any]:
    return {
        "address": name,
        "description": f"The routing key of `{name}` on the exchange `{topology.EVENTS}`.",
        "messages": {name: {"$ref": MESSAGES + name}},
        "bindings": _exchange(topology.EVENTS),
    }


def _exchange(name: str) -> dict[str, Any]:
    exchange = {"name": name, "type": "topic", "durable": True, "autoDelete": False}
    return {"amqp": {"is": "routingKey", "exchange": exchange, "bindingVersion": "0.3.0"}}


def _queue_channel(job: str) -> dict[str, Any]:
    queue = topology.QUEUES[job]
    binding = {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False}
    return {
        "address": queue.name,
        "description": f"The quorum queue of the job `{job}`; dead-letters to `{topology.DEAD}`.",
        "messages": {key: {"$ref": MESSAGES + key} for key in queue.routing_keys},
        "bindings": {"amqp": {"is": "queue", "queue": binding, "bindingVersion": "0.3.0"}},
    }


def _live_channel(key: str) -> dict[str, Any]:
    return {
        "address": key,
        "description": f"The routing key of a live hint on the exchange `{topology.LIVE}`.",
        "messages": {key: {"$ref": f"{MESSAGES}live.{key}"}},
        "bindings": _exchange(topology.LIVE),
    }


def _operations() -> Any:
    for name, kind in PUBLISHED.items():
        binding = {"deliveryMode": 2, "mandatory": True, "bindingVersion": "0.3.0"}
        said = f"The {producer(kind)} service, from its outbox."
        yield f"{producer(kind)}.sends.{name}", _operation("send", name, said, binding)
    for job in topology.JOBS:
        binding = {"ack": True, "bindingVersion": "0.3.0"}
        yield f"worker.does.{job}", _operation("receive", f"worker.{job}", f"The worker's job `{job}`.", binding)
    for key in LIVE:
        binding = {"deliveryMode": 1, "bindingVersion": "0.3.0"}
        yield f"worker.hints.{key}", _operation("send", f"live.{key}", "The worker.", binding)
    everything = {"ack": False, "bindingVersion": "0.3.0"}
    for channel in (*PUBLISHED, *(f"live.{key}" for key in LIVE)):
        said = "Every gateway, by a queue of its own that lives as long as its connection."
        yield f"gateway.follows.{channel}", _operation("receive", channel, said, everything)


def _operation(action: str, channel: str, summary: str, binding: dict[str, Any]) -> dict[str, Any]:
    reference = {"$ref": f"#/channels/{channel}"}
    return {"action": action, "channel": reference, "summary": summary, "bindings": {"amqp": binding}}


def _event_message(kind: type[Event]) -> dict[str, Any]:
    binding = {"messageType": kind.type, "bindingVersion": "0.3.0"}
    return {
        "name": kind.type,
        "title": kind.__name__,
        "summary": one_line(kind.__doc__ or ""),
        "headers": {"$ref": f"{SCHEMAS}EventHeaders"},
        "payload": {"$ref": SCHEMAS + kind.__name__},
        "bindings": {"amqp": binding},
    }


def _live_message(key: str) -> dict[str, Any]:
    return {
        "name": key,
        "title": LIVE[key].__name__,
        "summary": LIVE_SAYS[key],
        "payload": {"$ref": SCHEMAS + LIVE[key].__name__},
    }


def as_page() -> str:
    rows = [
        (f"[`{name}`](#{name.replace('.', '')})", producer(kind), " · ".join(f"`{job}`" for job in consumers(kind)))
        for name, kind in PUBLISHED.items()
    ]
    overview = table(("event", "published by", "jobs that it sets off"), rows)
    headers = "## The headers of an event\n\n" + fields_table(HEADERS)
    parts = [PAGE.format(introduction=INTRODUCTION, overview=overview, headers=headers), "## Events\n"]
    parts += [_section(name, kind) for name, kind in PUBLISHED.items()]
    parts += ["## What is part of them\n"]
    parts += [_schema(name) for name in schemas() if name not in {kind.__name__ for kind in _tops()}]
    parts += [f"## Live hints\n\nOn the topic exchange `{topology.LIVE}`, from the worker to every gateway.\n"]
    parts += [f"### live.{key}\n\n{LIVE_SAYS[key]}\n\n{fields_table(schemas()[LIVE[key].__name__])}" for key in LIVE]
    return "\n".join(parts)


def _tops() -> list[type[msgspec.Struct]]:
    return [*PUBLISHED.values(), *LIVE.values()]


def _section(name: str, kind: type[Event]) -> str:
    said = inspect.cleandoc(kind.__doc__ or "")
    parts = [f"### {name}\n", f"`{schema_of(kind)}`\n", said and f"{said}\n", fields_table(schemas()[kind.__name__])]
    return "\n".join(part for part in parts if part)


def _schema(name: str) -> str:
    said = schemas()[name].get("description")
    return "\n".join(part for part in (f"### {name}\n", said and f"{said}\n", fields_table(schemas()[name])) if part)
