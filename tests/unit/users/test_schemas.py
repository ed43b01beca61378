"""The bounds of what the users service takes, and names that people can read or that hide something."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from services.users.schemas import Name, PasswordGrant, ProfileChange, RefreshGrant, Registration

GOOD = {"email": "ada@example.com", "name": "Ada", "password": "long enough"}

any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def _accepts(model: type[BaseModel], body: Any) -> bool:
    try:
        model.model_validate(body)
    except ValidationError:
        return False
    return True


def test_a_plain_registration_is_accepted() -> None:
    """The smallest sensible body is taken as it is."""
    assert Registration.model_validate(GOOD).model_dump() == GOOD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", "not an address"),
        ("email", "a@b.de\r\nBcc: all@example.com"),
        ("email", f"{'x' * 60}@{'y' * 60}.{'z' * 60}.{'w' * 80}.com"),
        ("email", "Ada <ada@example.com>"),
        ("email", "=?utf-8?q?eve=2C?=@example.com"),
        ("name", ""),
        ("name", "   "),
        ("name", "x" * 101),
        ("name", "line\nbreak"),
        ("name", "nul\0"),
        ("name", "\ud800"),
        ("name", 5),
        ("name", None),
        ("password", "x" * 7),
        ("password", "x" * 129),
        ("password", "nul\0 inside"),
        ("password", "surrogate \udfff"),
        ("password", 12345678),
    ],
)
@pytest.mark.parametrize("model", [Registration, ProfileChange])
def test_values_out_of_bounds_are_refused(model: type[BaseModel], field: str, value: Any) -> None:
    """At registration and at every change, and the error is about that field."""
    with pytest.raises(ValidationError) as refused:
        model.model_validate(GOOD | {field: value})
    assert {error["loc"][0] for error in refused.value.errors()} == {field}


@given(st.text(min_size=8, max_size=128, alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_every_password_within_the_bounds_is_taken_unchanged(password: str) -> None:
    """No characters are trimmed or folded away: what one types is what is hashed."""
    assert Registration.model_validate(GOOD | {"password": password}).password == password


@given(st.text(max_size=110))
def test_a_name_is_storable_or_refused(name: str) -> None:
    """What is accepted is trimmed, within bounds, UTF-8, and has no control characters."""
    if not _accepts(Registration, GOOD | {"name": name}):
        return
    stored = Registration.model_validate(GOOD | {"name": name}).name
    assert 1 <= len(stored) <= 100
    assert stored == stored.strip()
    assert "\0" not in stored
    stored.encode()


@pytest.mark.parametrize("model", [Registration, ProfileChange, PasswordGrant, RefreshGrant])
@given(body=any_json)
def test_anything_else_is_a_validation_error(model: type[BaseModel], body: Any) -> None:
    """Whatever JSON comes, it is accepted or refused, never an exception of another kind."""
    _accepts(model, body)


@given(field=st.sampled_from(["name", "email", "password", "current_password"]))
def test_null_is_not_a_way_to_leave_out(field: str) -> None:
    """A profile's field cannot be set to null."""
    assert not _accepts(ProfileChange, {field: None})
    assert _accepts(ProfileChange, {})


@pytest.mark.parametrize("model", [Registration, ProfileChange, PasswordGrant, RefreshGrant])
def test_the_documented_schema_forbids_other_fields(model: type[BaseModel]) -> None:
    """And says so to clients, without null for fields that cannot be null."""
    schema = model.model_json_schema()
    assert schema["additionalProperties"] is False
    if model is ProfileChange:
        assert '{"type": "null"}' not in json.dumps(schema)


def test_login_reads_an_address_as_registration_wrote_it() -> None:
    """Composed or decomposed accents are the same address; what is none is left alone."""
    registered = Registration.model_validate(GOOD | {"email": "re\u0301my@Example.com"}).email
    for typed in ("re\u0301my@example.com", "r\u00e9my@EXAMPLE.com"):
        assert PasswordGrant(username=typed, password="x").username == registered
    assert PasswordGrant(username="no address", password="x").username == "no address"


NAMES = TypeAdapter(Name)

HIDDEN = {
    "zero width space": "Ada\u200b",
    "zero width joiner": "A\u200dda",
    "zero width non-joiner": "A\u200cda",
    "word joiner": "Ada\u2060",
    "byte order mark": "\ufeffAda",
    "soft hyphen": "A\u00adda",
    "left-to-right mark": "\u200eAda",
    "arabic letter mark": "\u061cAda",
    "embedding": "\u202aAda\u202c",
    "override": "\u202eadA",
    "isolate": "\u2066Ada\u2069",
    "tag": "Ada\U000e0041",
    "invisible times": "Ada\u2062",
    "grapheme joiner": "A\u034fda",
    "Hangul filler": "\u3164",
    "half-width Hangul filler": "Ada\uffa0",
    "jamo fillers": "\u115f\u1160",
    "braille blank": "\u2800",
    "Mongolian separator": "Ada\u180e",
    "variation selector alone": "\ufe0f",
    "variation selector after a letter": "Ada\ufe0f",
    "variation selector supplement after a letter": "Ada\U000e0100",
    "line separator": "A\u2028da",
    "private use": "Ada\ue000",
    "marks alone": "\u0301\u0301",
    "only joiners": "\u200d\u200c",
    "no-break spaces": "\u00a0\u3000",
}
PLAIN = (
    "Ada Lovelace",
    "O\u2019Brien-Müller, Jr.",
    "علی\u200cرضا",  # noqa: RUF001  a Persian name
    "ශ්\u200dරී",
    "葛\U000e0100城",
    "❤\ufe0f Ada",
    "김철수",
    "Nguyễn Văn A",
    "é",
    "7",
)


@pytest.mark.parametrize("name", HIDDEN.values(), ids=HIDDEN.keys())
def test_a_name_that_hides_something_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        NAMES.validate_python(name)


@pytest.mark.parametrize("name", PLAIN)
def test_a_name_of_any_script_is_taken(name: str) -> None:
    """With the joiners and variation selectors that its script needs."""
    assert NAMES.validate_python(name) == name
