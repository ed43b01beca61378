"""Events as they were sent at some time: a message may wait in an outbox, a queue or the ledger while code changes.

`tests/golden/events` has one file for each shape that an event has ever had: `TYPE.VERSION.json`, and for later shapes
of that version `TYPE.VERSION-2.json` and so on. Files are added, never changed: docs/upgrading.md.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from shared.contracts import events

FOLDER = Path(__file__).parents[3] / "golden/events"
GOLDEN: dict[str, dict[str, Any]] = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}


def of(kind: type[events.Event]) -> list[dict[str, Any]]:
    """Return the shapes of the current version."""
    return [golden for golden in GOLDEN.values() if golden["headers"]["dataschema"] == events.schema_of(kind)]


def decoded(golden: dict[str, Any]) -> events.Event:
    return events.decode(golden["headers"], json.dumps(golden["body"]).encode()).event


def sent_again(golden: dict[str, Any]) -> dict[str, Any]:
    """Return the body that today's code would send for the same event."""
    body: dict[str, Any] = json.loads(events.encode(decoded(golden)))
    return body


def shape(value: Any) -> Any:
    """Return the fields, at any depth."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else None


@pytest.mark.parametrize("name", GOLDEN)
def test_what_was_sent_once_is_read_today(name: str) -> None:
    """The meaning is the same: each field has the value that was sent."""
    golden = GOLDEN[name]
    read = sent_again(golden)
    assert {field: read.get(field) for field in golden["body"]} == golden["body"]


@pytest.mark.parametrize("kind", events.EVENTS.values(), ids=events.EVENTS)
def test_the_shape_that_is_sent_today_is_kept(kind: type[events.Event]) -> None:
    """Without a golden file, an event type or a field could change later unnoticed."""
    shapes = [shape(golden["body"]) for golden in of(kind)]
    assert shapes, f"{kind.type} has no golden file"
    wanted = f"{kind.type}.{kind.version}-N.json"
    assert all(shape(sent_again(golden)) in shapes for golden in of(kind)), f"a new shape: keep it as {wanted}"


@pytest.mark.parametrize("name", GOLDEN)
def test_a_reader_from_before_takes_no_harm_from_what_is_new(name: str) -> None:
    """It ignores unknown fields, at any depth, and unknown headers."""
    golden = GOLDEN[name]
    newer = {"headers": golden["headers"] | {"later": "header"}, "body": _with_more(golden["body"])}
    assert decoded(newer) == decoded(golden)


def _with_more(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_more(inner) for inner in value]
    if isinstance(value, dict):
        return {name: _with_more(inner) for name, inner in value.items()} | {"later": {"field": [1]}}
    return value


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_file_is_named_for_what_it_holds(name: str) -> None:
    headers = GOLDEN[name]["headers"]
    kind, _, version = headers["dataschema"].removeprefix("urn:dashboard:event:").rpartition(":")
    assert kind == headers["type"]
    assert name.partition("-")[0] == f"{kind}.{version}"


def test_an_unknown_type_is_said_to_be_unknown() -> None:
    """The worker keeps such a message as dead until code that knows the type replays it: nothing is lost."""
    headers = next(iter(GOLDEN.values()))["headers"] | {"type": "order.returned"}
    with pytest.raises(events.UnreadableEvent, match=r"order\.returned"):
        events.decode(headers, b"{}")
