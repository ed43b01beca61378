"""The protocol with one OpenID provider: the code flow with PKCE (OpenID Connect Core, section 3.1).

Authlib writes the messages and validates the ID token. The provider's metadata and keys are cached.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import msgspec
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from services.users.identities.flows import FlowSecret
from services.users.identity_providers import IdentityProvider
from shared.config.json_list import is_as_safe
from shared.http.tokens import CLOCK_SKEW_S
from shared.observability.logs import get_logger

log = get_logger(__name__)

MAX_ANSWER_BYTES = 256 * 1024
CACHED_S = 3600.0
"""How long metadata and keys are used before they are read again."""
KEYS_AGAIN_S = 10.0
"""How often keys are read at most because a token was signed with an unknown one."""
MAX_SUBJECT = 255
"""OpenID Connect Core, section 2."""
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519", "EdDSA"]
"""Only asymmetric ones: a key set is public."""

T = TypeVar("T")


class ProviderDown(Exception):
    """The provider cannot be reached, is too slow, or does not answer as a provider does."""


class ProviderRefused(Exception):
    """The provider does not accept the code: it was used before, has expired, or belongs to another sign-in."""


class InvalidIdToken(Exception):
    """The answer or its ID token does not prove who has signed in."""


class Metadata(msgspec.Struct):
    """OpenID Connect Discovery, section 3, as far as it is used here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class _Tokens(msgspec.Struct):
    id_token: str
    access_token: str | None = None


class _Refusal(msgspec.Struct):
    error: str = ""


@dataclass(frozen=True)
class Person:
    """Who has signed in at the provider. `authenticated_at` is None if the provider does not say when."""

    issuer: str
    subject: str
    email: str | None = None
    email_verified: bool = False
    name: str | None = None
    authenticated_at: datetime | None = None


class Provider:
    """Every method raises `ProviderDown`. `timeout_s` is the time for all requests of one call of a method."""

    def __init__(self, config: IdentityProvider, http: httpx.AsyncClient, timeout_s: float) -> None:
        self.config = config
        self._http = http
        self._timeout_s = timeout_s
        self._secret = config.secret()
        self._metadata: tuple[Metadata, float] | None = None
        self._keys: tuple[KeySet, float] | None = None

    async def authorization_url(self, redirect_uri: str, secret: FlowSecret, *, again: bool = False) -> str:
        """Return the address at which people sign in. `again`: even if they have signed in at the provider before."""
        async with self._in_time():
            metadata = await self._read_metadata()
        more = {"prompt": "login", "max_age": "0"} if again else {}
        url: str = prepare_grant_uri(
            metadata.authorization_endpoint,
            client_id=self.config.client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=" ".join(self.config.scopes),
            state=secret.state,
            nonce=secret.nonce,
            code_challenge=create_s256_code_challenge(secret.verifier),
            code_challenge_method="S256",
            **more,
        )
        return url

    async def identify(self, redirect_uri: str, code: str, secret: FlowSecret, iss: str | None = None) -> Person:
        """Exchange the code, and return who has signed in. `iss` is the issuer that the callback names (RFC 9207).
        Raises `ProviderRefused`, `InvalidIdToken`."""
        async with self._in_time():
            metadata = await self._read_metadata()
            if iss != self.config.issuer and (iss or metadata.authorization_response_iss_parameter_supported):
                raise InvalidIdToken
            tokens = await self._exchange(metadata, redirect_uri, code, secret)
            claims = await self._verified(metadata, tokens, secret.nonce)
            if "email" not in claims and metadata.userinfo_endpoint and tokens.access_token:
                claims |= await self._userinfo(metadata.userinfo_endpoint, tokens.access_token, claims["sub"])
        return person_of(self.config.issuer, claims)

    @asynccontextmanager
    async def _in_time(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._timeout_s):
                yield
        except TimeoutError as late:
            raise ProviderDown("no answer in time") from late

    async def _read_metadata(self) -> Metadata:
        if self._metadata and time.monotonic() - self._metadata[1] < CACHED_S:
            return self._metadata[0]
        try:
            metadata = _decoded(await self._get(self.config.discovery), Metadata)
            _check(metadata, self.config.issuer)
        except ProviderDown:
            if self._metadata is None:
                raise
            return self._metadata[0]
        self._metadata = metadata, time.monotonic()
        return metadata

    async def _exchange(self, metadata: Metadata, redirect_uri: str, code: str, secret: FlowSecret) -> _Tokens:
        body = prepare_token_request(
            "authorization_code", code=code, redirect_uri=redirect_uri, code_verifier=secret.verifier
        )
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        auth = ClientAuth(self.config.client_id, self._secret, _auth_method(self._secret, metadata))
        url, headers, body = auth.prepare("POST", metadata.token_endpoint, headers, body)
        status, answer = await self._ask("POST", url, headers=headers, content=body)
        if status == httpx.codes.OK:
            return _decoded(answer, _Tokens)
        error = _decoded(answer, _Refusal).error if status < httpx.codes.INTERNAL_SERVER_ERROR else ""
        if error == "invalid_grant":
            raise ProviderRefused
        name = self.config.name
        log.warning("identity provider refuses this client", provider=name, status=status, error=error[:100])
        raise ProviderDown(f"token endpoint: status {status}")

    async def _verified(self, metadata: Metadata, tokens: _Tokens, nonce: str) -> dict[str, Any]:
        try:
            token = await self._decode(metadata, tokens.id_token)
            options: Any = {
                "iss": {"essential": True, "value": self.config.issuer},
                "aud": {"essential": True, "value": self.config.client_id},
            }
            params = {"nonce": nonce, "client_id": self.config.client_id, "access_token": tokens.access_token}
            claims = CodeIDToken(token.claims, token.header, options, params)
            claims.validate(leeway=CLOCK_SKEW_S)
        except (JoseError, AuthlibBaseError, ValueError, TypeError, KeyError) as broken:
            log.warning("ID token refused", provider=self.config.name, reason=type(broken).__name__)
            raise InvalidIdToken from broken
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or "\x00" in subject:
            raise InvalidIdToken
        return dict(claims)

    async def _decode(self, metadata: Metadata, id_token: str) -> jwt.Token:
        """Verify the signature, with keys that are read again if none fits. Raises `JoseError` or `ValueError`."""
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        try:
            return jwt.decode(id_token, await self._read_keys(metadata, CACHED_S), registry=registry)
        except (JoseError, ValueError):
            return jwt.decode(id_token, await self._read_keys(metadata, KEYS_AGAIN_S), registry=registry)

    async def _read_keys(self, metadata: Metadata, max_age_s: float) -> KeySet:
        if self._keys and time.monotonic() - self._keys[1] < max_age_s:
            return self._keys[0]
        try:
            keys = KeySet.import_key_set(_decoded(await self._get(metadata.jwks_uri), dict[str, Any]))  # type: ignore[arg-type]
        except (ProviderDown, JoseError, ValueError, TypeError, KeyError) as broken:
            if self._keys is None:
                raise ProviderDown("no usable keys") from broken
            return self._keys[0]
        self._keys = keys, time.monotonic()
        return keys

    async def _userinfo(self, url: str, access_token: str, subject: str) -> dict[str, Any]:
        """Return the claims about the same person from the userinfo endpoint (section 5.3)."""
        answer = await self._get(url, {"Authorization": f"Bearer {access_token}"})
        claims = _decoded(answer, dict[str, Any])
        if claims.get("sub") != subject:
            raise InvalidIdToken
        return {name: claims[name] for name in ("email", "email_verified", "name") if name in claims}

    async def _get(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        status, answer = await self._ask("GET", url, headers=headers)
        if status != httpx.codes.OK:
            raise ProviderDown(f"{url}: status {status}")
        return answer

    async def _ask(self, method: str, url: str, **request: Any) -> tuple[int, bytes]:
        held = bytearray()
        try:
            async with self._http.stream(method, url, **request) as response:
                async for chunk in response.aiter_bytes():
                    held += chunk
                    if len(held) > MAX_ANSWER_BYTES:
                        raise ProviderDown(f"{url}: more than {MAX_ANSWER_BYTES} bytes")
                return response.status_code, bytes(held)
        except (httpx.HTTPError, httpx.InvalidURL) as failure:
            raise ProviderDown(f"{url}: {failure!r}") from failure


def person_of(issuer: str, claims: Mapping[str, Any]) -> Person:
    """Return the person whom verified claims describe. Claims of another type than expected count as missing."""
    email, verified, name, moment = (claims.get(key) for key in ("email", "email_verified", "name", "auth_time"))
    return Person(
        issuer=issuer,
        subject=claims["sub"],
        email=email if isinstance(email, str) and email else None,
        email_verified=verified is True or verified == "true",  # some providers write it as text
        name=name if isinstance(name, str) and name.strip() else None,
        authenticated_at=_moment(moment) if isinstance(moment, int | float) else None,
    )


def _moment(seconds: float) -> datetime:
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        raise InvalidIdToken from None


def _auth_method(secret: str, metadata: Metadata) -> str:
    if not secret:
        return "none"
    offered = metadata.token_endpoint_auth_methods_supported
    is_posted = "client_secret_post" in offered and "client_secret_basic" not in offered
    return "client_secret_post" if is_posted else "client_secret_basic"


def _check(metadata: Metadata, issuer: str) -> None:
    """Raises `ProviderDown` if the metadata is of another issuer, or leads to less protected addresses."""
    if metadata.issuer != issuer:
        raise ProviderDown(f"the metadata is of another issuer, {metadata.issuer[:200]!r}")
    endpoints = (metadata.authorization_endpoint, metadata.token_endpoint, metadata.jwks_uri)
    for url in (*endpoints, *([metadata.userinfo_endpoint] if metadata.userinfo_endpoint else ())):
        if not is_as_safe(url, issuer):
            raise ProviderDown(f"the metadata has an unsuitable address, {url[:200]!r}")


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as broken:
        raise ProviderDown(f"not {kind.__name__}: {broken}") from broken
