"""Keys of unsubscribe links."""

import hashlib
import hmac
from uuid import UUID, uuid4

import pytest

from services.worker.email.kinds import OTHER, MailKind
from services.worker.email.unsubscribe import PATH, Subscription, UnknownKey, UnsubscribeLinks
from shared.http.tokens import b64url, b64url_decode

FIRST, SECOND = "first" * 8, "second" * 8
USER = uuid4()
LONGER = MailKind("other_things", "Other things", "…")
PAGE = "https://dashboard.example.com"


def links(secrets: str = FIRST) -> UnsubscribeLinks:
    return UnsubscribeLinks(PAGE, secrets)


def key_of(by: UnsubscribeLinks, user_id: UUID = USER) -> str:
    return by.url(user_id, OTHER).removeprefix(f"{PAGE}{PATH}/")


def test_a_key_names_a_user_and_a_kind() -> None:
    """It is the same each time, and fits into a path."""
    key = key_of(links())
    assert key == key_of(links())
    assert set(key) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert links().read(key) == Subscription(USER, "other")


def test_every_changed_bit_makes_it_invalid() -> None:
    """Signature, user and kind."""
    decoded = b64url_decode(key_of(links()))
    for place in range(len(decoded) * 8):
        changed = bytearray(decoded)
        changed[place // 8] ^= 1 << place % 8
        with pytest.raises(UnknownKey):
            links().read(b64url(bytes(changed)))


@pytest.mark.parametrize("more", [b"", b"\0", b"x", b"_things", b" "])
def test_a_key_of_one_kind_is_none_of_another(more: bytes) -> None:
    """Also if the name of one begins with that of the other."""
    decoded = b64url_decode(key_of(links()))
    for forged in (decoded[:-1] + more, decoded + (more or b"s")):
        with pytest.raises(UnknownKey):
            links().read(b64url(forged))
    assert links().url(USER, LONGER) != links().url(USER, OTHER)


@pytest.mark.parametrize(
    "text", ["", "A", "=", "AAAA", "a" * 22, "a" * 43, "ä", "../../v1/me", "a b", "\0", "a" * 10_000, "%2e"]
)
def test_a_text_that_is_no_key(text: str) -> None:
    with pytest.raises(UnknownKey):
        links().read(text)


def test_a_key_has_one_spelling() -> None:
    """Neither padding nor characters that a decoder ignores make other keys of it."""
    key = key_of(links())
    for other in (f"{key}=", f"{key}==", f"{key[:5]}\n{key[5:]}", f"{key}.", key.swapcase()):
        with pytest.raises(UnknownKey):
            links().read(other)


def test_the_secret_signs_nothing_else_in_this_way() -> None:
    """The key is derived for this purpose: a plain HMAC with the secret, as of service tokens, is no signature."""
    named = USER.bytes + b"other"
    for secret in (FIRST, SECOND):
        mac = hmac.digest(secret.encode(), named, hashlib.sha256)[:16]
        with pytest.raises(UnknownKey):
            links().read(b64url(mac + named))
    with pytest.raises(UnknownKey):
        links(SECOND).read(key_of(links()))


def test_a_secret_can_be_replaced() -> None:
    """While the old secret is in the list its links work; a new link is signed by the first."""
    rotated = links(FIRST)
    old = key_of(rotated)
    rotated.rotate(f"{SECOND}, {FIRST}")
    assert rotated.read(old) == Subscription(USER, "other")
    assert key_of(rotated) == key_of(links(SECOND))
    rotated.rotate(SECOND)
    with pytest.raises(UnknownKey):
        rotated.read(old)
