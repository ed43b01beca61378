"""The secrets of webhooks at rest: encrypted, since signing needs them back."""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class SecretUnreadable(Exception):
    """None of the keys decrypts it: a key is missing from `WORKER_WEBHOOK_SECRET_KEYS`."""


class SecretBox:
    """The first key encrypts; the others are still tried when decrypting."""

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
    """Fernet wants 32 bytes; the setting is any long random text."""
    return base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())
