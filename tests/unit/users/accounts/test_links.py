"""Tokens of links, and who may have one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.users.accounts.links import Token, recipient
from services.users.models import User
from shared.contracts.internal_api import Purpose

ANN = UUID(int=1)


def test_a_token_is_parsed_as_it_is_written() -> None:
    """It has 256 random bits, and nothing that a URL must escape."""
    tokens = {str(Token.new(ANN)) for _ in range(100)}
    assert len(tokens) == 100
    for text in tokens:
        parsed = Token.parse(text)
        assert parsed is not None
        assert (str(parsed), parsed.user_id, len(parsed.secret)) == (text, ANN, 32)
        assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text() | st.binary().map(lambda raw: raw.hex()))
def test_any_other_text_is_no_token(text: str) -> None:
    """Nothing raises, and no token has two spellings."""
    parsed = Token.parse(text)
    assert parsed is None or str(parsed) == text


@pytest.mark.parametrize("written", ["{}=", " {}", "{}\n", "{}AA", "token={}"])
def test_a_token_has_one_spelling(written: str) -> None:
    text = str(Token(ANN, bytes(range(32))))
    assert Token.parse(text) is not None
    assert Token.parse(written.format(text)) is None


def test_the_stored_hash_does_not_contain_the_token() -> None:
    token = Token.new(ANN)
    assert token.hash != token.secret
    assert token.hash == Token(UUID(int=2), token.secret).hash
    assert len(token.hash) == 32


@pytest.mark.parametrize(
    ("verified", "pending", "purpose", "email"),
    [
        (False, None, "verify", "ann@example.com"),
        (True, None, "verify", None),
        (False, "new@example.com", "verify", "ann@example.com"),
        (False, None, "change", None),
        (True, "new@example.com", "change", "new@example.com"),
        (True, "new@example.com", "reset", "ann@example.com"),
        (False, None, "reset", "ann@example.com"),
    ],
)
def test_the_recipient_of_a_link(verified: bool, pending: str | None, purpose: Purpose, email: str | None) -> None:
    """A link goes to the address that it is about, and only as long as the account has a use for it."""
    at = datetime(2026, 1, 31, tzinfo=UTC)
    user = User(email="ann@example.com", email_verified=verified, pending_email=pending, created_at=at)
    assert recipient(user, purpose) == email
