"""The cursor of the list of jobs: an event may have failed in several jobs, so its id alone does not identify a
position."""

import re
from uuid import UUID

from services.worker.ledger.admin.repository import Key
from services.worker.ledger.admin.schemas import JOB_NAME
from shared.errors import InvalidInput
from shared.http.tokens import b64url, b64url_decode


def encode_cursor(last: Key) -> str:
    event_id, job = last
    return b64url(event_id.bytes + job.encode())


def decode_cursor(cursor: str | None) -> Key | None:
    """Raises `InvalidInput` for anything that `encode_cursor` does not produce."""
    if cursor is None:
        return None
    try:
        decoded = b64url_decode(cursor)
        key = UUID(bytes=decoded[:16]), decoded[16:].decode()
    except ValueError:
        key = None
    if key is None or not re.fullmatch(JOB_NAME, key[1]) or encode_cursor(key) != cursor:
        raise InvalidInput.of("cursor", "is not a cursor of this list")
    return key
