"""The decisions about refresh tokens, and their format."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from services.users.models import LoginSession, RefreshToken
from services.users.sessions.repository import GRACE, Lifetimes, Refresh, judge

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LIFETIMES = Lifetimes(refresh=timedelta(days=30), session=timedelta(days=90))
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  bounds


def _session(expires_at: datetime = NOON + timedelta(days=1)) -> LoginSession:
    return LoginSession(user_id=UUID(int=1), id=UUID(int=2), created_at=NOON, expires_at=expires_at)


def _token(used_at: datetime | None = None) -> RefreshToken:
    return RefreshToken(user_id=UUID(int=1), session_id=UUID(int=2), used_at=used_at)


def test_a_fresh_token_of_a_live_session_is_rotated() -> None:
    """The ordinary case."""
    assert judge(_session(), _token(), NOON) == "rotate"


def test_a_used_token_revokes_its_session() -> None:
    """This applies while the session is active; an ended session needs no revocation."""
    assert judge(_session(), _token(used_at=NOON), NOON) == "revoke"
    assert judge(_session(expires_at=NOON), _token(used_at=NOON), NOON) == "refuse"


def test_a_used_token_is_repeated_until_its_successor_is_used() -> None:
    """This applies within the grace period, including its last moment."""
    used = _token(used_at=NOON)
    assert judge(_session(), used, NOON + GRACE, _token()) == "repeat"
    assert judge(_session(), used, NOON, _token(used_at=NOON)) == "revoke"
    assert judge(_session(), used, NOON + GRACE + timedelta(seconds=1), _token()) == "revoke"
    assert judge(_session(expires_at=NOON), used, NOON, _token()) == "refuse"


@given(st.uuids(), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_successor_follows_from_token_and_nonce(user_id: UUID, nonce: bytes, other: bytes) -> None:
    """The same token and nonce have the same successor, another nonce another one, always of the same session."""
    token = Refresh.new(user_id, user_id)
    assert token.successor(nonce) == token.successor(nonce) != token
    assert (token.successor(nonce) == token.successor(other)) is (nonce == other)
    assert token.successor(nonce).session_id == user_id


def test_what_is_unknown_or_expired_is_refused() -> None:
    """An unknown session, an unknown token, and one that has expired, including that instant, are refused."""
    assert judge(None, None, NOON) == "refuse"
    assert judge(_session(), None, NOON) == "refuse"
    assert judge(_session(expires_at=NOON), _token(), NOON) == "refuse"


@given(began=moments, later=st.timedeltas(timedelta(0), timedelta(days=200)))
def test_no_refresh_outlives_the_session(began: datetime, later: timedelta) -> None:
    """A session ends 30 days after its last refresh, and at most 90 days after its start."""
    expiry = LIFETIMES.expiry(began, began + later)
    assert expiry == min(began + later + timedelta(days=30), began + timedelta(days=90))


@given(st.uuids(), st.uuids())
def test_a_refresh_token_is_read_as_it_was_written(user_id: UUID, session_id: UUID) -> None:
    """A token is converted to text and back; two of one session differ, and so do their hashes."""
    given_, other = Refresh.new(user_id, session_id), Refresh.new(user_id, session_id)
    assert Refresh.parse(str(given_)) == given_
    assert given_.hash != other.hash
    assert given_.secret not in given_.hash


@given(st.text() | st.from_regex(r"[A-Za-z0-9_-]{80,90}", fullmatch=True))
def test_any_text_is_a_refresh_token_or_none(text: str) -> None:
    """No input raises an error, and a valid token has the length of one."""
    parsed = Refresh.parse(text)
    assert parsed is None or len(parsed.secret) == 32
