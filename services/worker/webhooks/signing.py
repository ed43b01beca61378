"""The signature of a call, by Standard Webhooks (standardwebhooks.com, specification 1.0), and its secrets.

`webhook-signature` is `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body`; several, separated by spaces, while a
secret is being replaced. Signing needs the plaintext of a secret; the database has it encrypted.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def headers(keys: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(sign(key, message_id, timestamp, body) for key in keys),
    }


class SecretUnreadable(Exception):
    """None of the keys decrypts it: a key is missing from `WORKER_WEBHOOK_SECRET_KEYS`."""


class SecretBox:
    """The first key encrypts; all keys are tried for decrypting."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._fernet = MultiFernet([Fernet(_fernet_key(key)) for key in keys])

    def encrypt(self, secret: str) -> str:
        return self._fernet.encrypt(secret.encode()).decode()

    def decrypt(self, kept: str) -> str:
        """Raises `SecretUnreadable`."""
        try:
            return self._fernet.decrypt(kept).decode()
        except InvalidToken:
            raise SecretUnreadable("no key of WORKER_WEBHOOK_SECRET_KEYS fits") from None


def _fernet_key(key: str) -> bytes:
    """Derive the 32 bytes that Fernet needs; the setting is any long random text."""
    return base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())
