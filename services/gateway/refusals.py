"""Tells a service's refusal of the gateway from its refusal of a client."""

import httpx
import msgspec

from services.gateway.reading import ServiceResponse, read_limited
from services.gateway.upstream.errors import NotTrusted
from shared.errors import Forbidden, Unauthenticated

REFUSALS = (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN)
ABOUT_THE_GATEWAY = (Unauthenticated.code, Forbidden.code)
"""What a service says of a token or an identity that it does not take (`shared.identity`). What it says of a client's
own credentials, such as a password, has a code of its own."""
MAX_BYTES = 16 * 1024


class _Problem(msgspec.Struct, frozen=True):
    code: str = ""


async def own_refusals(response: ServiceResponse, *, named: bool) -> ServiceResponse:
    """The response, unless it refuses the gateway: then it is closed. Raises `NotTrusted`.

    `named`: whether the gateway has said for which user it calls. It has checked that user's token, so that a refusal
    without a code cannot be about them.
    """
    if response.status_code not in REFUSALS:
        return response
    try:
        body = await read_limited(response, MAX_BYTES)
    finally:
        await response.aclose()
    if (code := _code(body)) in ABOUT_THE_GATEWAY or (named and not code):
        raise NotTrusted(f"status {response.status_code}")
    response.put_back(body)
    return response


def _code(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Problem).code
    except (msgspec.DecodeError, RecursionError):
        return ""
