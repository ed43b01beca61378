"""Names that people can read, and names that hide something."""

import pytest
from pydantic import TypeAdapter, ValidationError

from services.users.schemas import Name

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
