"""The public keys for verifying access tokens (RFC 7517)."""

from typing import Any

from fastapi import APIRouter, Request, Response

from shared.http.tokens import UserTokens

CACHEABLE_S = 300

router = APIRouter(tags=["tokens"])


@router.get("/.well-known/jwks.json")
async def read_keys(request: Request, response: Response) -> dict[str, Any]:
    """Return the keys for verifying access tokens, as a JWK set."""
    tokens: UserTokens = request.app.state.user_tokens
    response.headers["Cache-Control"] = f"public, max-age={CACHEABLE_S}"
    return tokens.jwks
