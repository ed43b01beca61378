"""The form of API keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.http.api_keys import ALPHABET, CHECKSUM, PREFIX, RANDOM, SHOWN, is_well_formed, new_key

KEY = "dsh_0123456789ABCDEFGHIJKLMNOPQRST4PMbyp"


def test_a_new_key_is_well_formed() -> None:
    """It has the prefix, at least 160 random bits and the checksum, all of letters and digits; no two are equal."""
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert len(ALPHABET) ** RANDOM > 2**160
    for key in keys:
        assert key.startswith(PREFIX)
        assert len(key) == len(PREFIX) + RANDOM + CHECKSUM
        assert set(key.removeprefix(PREFIX)) <= set(ALPHABET)
        assert is_well_formed(key.encode())


def test_the_form_does_not_change() -> None:
    """A key that was issued once stays valid in all later versions."""
    assert is_well_formed(KEY.encode())


@given(st.integers(len(PREFIX), len(KEY) - 1), st.sampled_from(ALPHABET))
def test_a_typing_error_is_seen(place: int, char: str) -> None:
    """A key with one other character is not accepted."""
    changed = KEY[:place] + char + KEY[place + 1 :]
    assert is_well_formed(changed.encode()) is (changed == KEY)


@pytest.mark.parametrize(
    "key",
    ["", PREFIX, KEY[:-1], KEY + "0", KEY.upper(), KEY.replace(PREFIX, "dsx_"), f" {KEY}", f"{KEY}\n", KEY[:-1] + "é"],
)
def test_what_is_not_a_key_is_refused(key: str) -> None:
    """Whatever its length and characters are."""
    assert not is_well_formed(key.encode("latin-1"))


@given(st.binary(max_size=60))
def test_any_bytes_are_read(given: bytes) -> None:
    """No input raises."""
    assert not is_well_formed(given)
    assert not is_well_formed(PREFIX.encode() + given)


def test_enough_of_a_key_stays_hidden() -> None:
    """What a list shows leaves at least 128 random bits."""
    assert len(ALPHABET) ** (RANDOM - (SHOWN - len(PREFIX))) > 2**128
