"""Panel queries and their responses, as both sides encode and read them."""

from uuid import UUID

import msgspec
import pytest

from shared.contracts import panels
from shared.errors import InvalidInput

ID = UUID(int=1)
OTHER = UUID(int=2)
GOOD = b'"panels":["orders"],'


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"ids":[]}', b"\xff", b'{"a":' * 10_000, b'{"ids":["x"]}', b'{"panels":["\xff"']
)
def test_a_body_that_is_no_query_is_invalid_input(body: bytes) -> None:
    """This includes a body that is nested too deeply, or is not text."""
    with pytest.raises(InvalidInput):
        panels.read_query(body)
    with pytest.raises(InvalidInput):
        panels.read_panels_query(body)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"ids": [str(ID)]}, "panels"),
        ({"panels": [], "ids": [str(ID)]}, "panels"),
        ({"panels": ["x"] * 9, "ids": [str(ID)]}, "panels"),
        ({"panels": [1], "ids": [str(ID)]}, "panels"),
        ({"panels": "orders", "ids": [str(ID)]}, "panels"),
        ({"panels": ["orders"]}, "ids"),
        ({"panels": ["orders"], "ids": []}, "ids"),
        ({"panels": ["orders"], "ids": ["x"]}, "ids"),
        ({"panels": ["orders"], "ids": [str(ID)] * 129}, "ids"),
    ],
)
def test_the_error_names_the_field(query: object, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        panels.read_panels_query(panels.encode(query))
    assert [error["field"] for error in refused.value.errors or ()] == [field]


def test_the_largest_query() -> None:
    """128 users and 8 panels are accepted."""
    names, ids = [f"panel-{number}" for number in range(8)], [UUID(int=number) for number in range(128)]
    query = panels.read_panels_query(panels.encode_query(names, [str(each) for each in ids]))
    assert (query.panels, query.ids) == (names, ids)


def test_an_answer_is_read_as_it_was_encoded() -> None:
    """The JSON of a panel is unchanged, as text or bytes; ids are canonical text."""
    orders = panels.answered([ID, OTHER], {ID: '[{"name": "é"}]'})
    body = panels.encode_answer(
        {"orders": orders, "user": panels.answered([ID], {ID: b"{ }"}), "x": panels.failed("timeout")}
    )
    answer = panels.read_answer(body).panels
    assert answer["orders"].items == {str(ID): msgspec.Raw('[{"name": "é"}]'.encode())}
    assert answer["orders"].missing == [str(OTHER)]
    assert (answer["user"].items, answer["user"].missing) == ({str(ID): msgspec.Raw(b"{ }")}, [])
    assert (answer["x"].items, answer["x"].error) == ({}, "timeout")
    assert [answer[name].error for name in ("orders", "user")] == [None, None]


def test_the_answer_is_plain_json() -> None:
    body = panels.encode_answer({"a": panels.answered([ID, OTHER], {ID: "[1]"}), "b": panels.failed("internal")})
    assert body == b'{"panels":{"a":{"items":{"%s":[1]},"missing":["%s"]},"b":{"error":"internal"}}}' % (
        str(ID).encode(),
        str(OTHER).encode(),
    )


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("250", 0.25),
        ("", 30),
        ("x", 30),
        ("-1", 30),
        ("1.5", 30),
        ("0", 0.001),
        ("99999999", 30),
        ("999999999", 30),
        ("²", 30),
    ],
)
def test_the_deadline(told: str, seconds: float) -> None:
    """The deadline is in milliseconds, between one and the maximum, which also replaces invalid values."""
    assert panels.deadline_s(told) == seconds
