"""Parses a service's response to a call, by panel and user. The protocol is `shared.contracts.panels`."""

from collections.abc import Mapping, Sequence

import msgspec
from mypy_extensions import mypyc_attr

from services.gateway.panels import Panel
from services.gateway.upstream.errors import ErrorCode
from shared.contracts.panels import PanelAnswer, read_answer


class Answer(msgspec.Struct, frozen=True, gc=False):
    """The result for one panel: `data`, its JSON, and its age; or no such user; or the `error`."""

    data: bytes | None = None
    error: ErrorCode = "internal"
    user_missing: bool = False
    age_ms: int = 0

    @property
    def is_failure(self) -> bool:
        return self.data is None and not self.user_missing


USER_MISSING = Answer(user_missing=True)
BAD_PANEL = Answer(error="bad_response")
ERRORS: Mapping[str, ErrorCode] = {"timeout": "timeout"}
"""The errors that a service reports for a panel; anything else is an invalid response."""


@mypyc_attr(native_class=False)
class MalformedAnswer(Exception):
    """The response does not match the request."""


NOTHING = PanelAnswer(error="internal")


def read_answers(
    panels: Sequence[Panel], user_ids: Sequence[str], body: bytes, max_bytes: int
) -> dict[str, list[Answer]]:
    """Return the results of these users (canonical ids) by panel, in their order. An invalid panel affects only its own
    result.

    `max_bytes` limits one user's panel. Raises `MalformedAnswer` if the body as a whole is invalid.
    """
    try:
        found = read_answer(body).panels
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
        raise MalformedAnswer(str(broken)) from broken
    all_text = _is_utf8(body)
    return {
        panel.name: _answers(panel, user_ids, found.get(panel.name, NOTHING), max_bytes, all_text) for panel in panels
    }


def _answers(panel: Panel, user_ids: Sequence[str], found: PanelAnswer, max_bytes: int, all_text: bool) -> list[Answer]:
    if found.error is not None:
        return [Answer(error=ERRORS.get(found.error, "bad_response"))] * len(user_ids)
    missing = frozenset(found.missing) if panel.knows_users and found.missing else frozenset[str]()
    find, opening = found.items.get, panel.opening
    answers = []
    for user_id in user_ids:
        if (raw := find(user_id)) is None:
            answers.append(USER_MISSING if user_id in missing else BAD_PANEL)
            continue
        data = bytes(raw)  # a copy: caching it does not keep the whole body in memory
        good = data.startswith(opening) and len(data) <= max_bytes and (all_text or _is_utf8(data))
        answers.append(Answer(data) if good else BAD_PANEL)
    return answers


def _is_utf8(data: bytes) -> bool:
    """msgspec does not validate raw JSON, and we splice it."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
