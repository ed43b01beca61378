"""Access tokens at the gateway: the good, the bad and the revoked."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from services.gateway.auth.revocations import STREAM
from shared.http.tokens import USER_AUDIENCE, USER_ISSUER, SigningKey, UserTokens, b64url
from shared.ids import new_id
from tests.support.backends import RedisBackend
from tests.support.gateway.stub import replies
from tests.support.gateway.world import JWKS_PATH, SEED, Start, World
from tests.support.later import move_clock
from tests.support.waiting import eventually

KEY = SigningKey(SEED)
OTHER = SigningKey(b64url(bytes(32)))


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    base = {"iss": USER_ISSUER, "aud": USER_AUDIENCE, "sub": str(new_id()), "sid": str(new_id()), "role": "user"}
    told = base | {"iat": now, "nbf": now, "exp": now + 900} | changes
    return {name: value for name, value in told.items() if value is not None}


def signed(key: SigningKey = KEY, kid: str = KEY.kid, **changes: Any) -> str:
    return jwt.encode(claims(**changes), key.private, algorithm="EdDSA", headers={"kid": kid})


def unsigned() -> str:
    return jwt.encode(claims(), None, algorithm="none", headers={"kid": KEY.kid})  # type: ignore[arg-type]  # that is the point


def signed_with_the_public_key() -> str:
    """HS256 with the public key as its secret: what a verifier that trusts `alg` would accept."""
    secret = KEY.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
    head = b64url(json.dumps({"alg": "HS256", "typ": "JWT", "kid": KEY.kid}).encode())
    body = b64url(json.dumps(claims()).encode())
    mac = hmac.new(secret, f"{head}.{body}".encode(), hashlib.sha256).digest()
    return f"{head}.{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


FAULTS: dict[str, Callable[[], str]] = {
    "unsigned": unsigned,
    "HS256 with the public key": signed_with_the_public_key,
    "another key under our id": lambda: signed(OTHER),
    "a key nobody knows": lambda: signed(OTHER, OTHER.kid),
    "no key id": lambda: jwt.encode(claims(), KEY.private, algorithm="EdDSA"),
    "another audience": lambda: signed(aud="dashboard-internal"),
    "another issuer": lambda: signed(iss="somebody"),
    "expired": lambda: signed(exp=int(time.time()) - 60),
    "not yet valid": lambda: signed(nbf=int(time.time()) + 60),
    "without an end": lambda: signed(exp=None),
    "without a subject": lambda: signed(sub=None),
    "subject is no id": lambda: signed(sub="1"),
    "an unknown role": lambda: signed(role="root"),
    "garbage": lambda: "garbage",
    "dots": lambda: "...",
    "more than ASCII": lambda: "\xff\xfe.\xff.\xff",
    "changed": lambda: signed()[:-4] + "AAAA",
    "a service token": lambda: jwt.encode({"iss": "gateway"}, "s" * 32, algorithm="HS256"),
}


@pytest.mark.parametrize("make", FAULTS.values(), ids=FAULTS.keys())
@pytest.mark.parametrize("path", ["/v1/dashboard", "/v1/me"])
async def test_a_bad_token_is_refused(world: World, make: Callable[[], str], path: str) -> None:
    """Whatever is wrong with it, the answer is the same 401 problem, and no service hears of it."""
    response = await world.client.get(path, headers={b"Authorization": b"Bearer " + make().encode("latin-1")})
    assert response.status_code == 401
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert response.json()["code"] == "invalid_access_token"
    assert not world.users.asked


@pytest.mark.parametrize("header", [None, "", "Basic YTpi", "Bearer", "Bearer "])
async def test_no_token(world: World, header: str | None) -> None:
    """Without a bearer token the answer is 401, too."""
    response = await world.client.get("/v1/me", headers={} if header is None else {"Authorization": header})
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, "Bearer")


async def test_a_remembered_token_ends_with_its_time(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a token was verified before does not make it live longer."""
    headers = {"Authorization": f"Bearer {signed()}"}
    assert (await world.client.get("/v1/me", headers=headers)).status_code == 200
    move_clock(monkeypatch, seconds=900 + 60)
    assert await _refused(world, headers)


async def _refused(world: World, headers: dict[str, str]) -> bool:
    return (await world.client.get("/v1/me", headers=headers)).status_code == 401


async def test_keys_are_rotated_without_a_restart(start: Start) -> None:
    """A new key is taken up when a token first names it, and a token of a withdrawn key counts no longer."""
    async with start(jwks_unknown_key_pause_s=0) as world:
        old = world.bearer()
        assert (await world.client.get("/v1/me", headers=old)).status_code == 200
        renewed = UserTokens([b64url(bytes(range(1, 33)))], ttl_s=900)
        world.users.behaviours[JWKS_PATH] = replies(msgspec.json.encode(renewed.jwks))
        new = {"Authorization": f"Bearer {renewed.issue(new_id(), new_id(), 'user')}"}
        assert (await world.client.get("/v1/me", headers=new)).status_code == 200
        assert (await world.client.get("/v1/me", headers=old)).status_code == 401


async def test_unknown_keys_cannot_make_the_gateway_fetch_all_the_time(world: World) -> None:
    """Any number of tokens with unknown keys cause no fetch so soon after the last."""
    before = len(world.users.received)
    for _ in range(20):
        await world.client.get("/v1/me", headers={"Authorization": f"Bearer {signed(OTHER, str(new_id()))}"})
    assert sum(request.target == JWKS_PATH for request in world.users.received[before:]) == 0


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"keys": [{"crv": "Ed25519", "kid": "x", "x": "?"}]}'])
async def test_a_bad_key_set_does_not_replace_a_good_one(start: Start, body: bytes) -> None:
    """When the key set cannot be read, the one before stays in use."""
    async with start(jwks_refresh_s=0.05) as world:
        world.users.behaviours[JWKS_PATH] = replies(body)
        fetches = len(world.users.received)
        await eventually(lambda: len(world.users.received) > fetches + 2)
        assert (await world.client.get("/v1/me", headers=world.bearer())).status_code == 200


async def test_no_keys_yet(start: Start) -> None:
    """Before the first key set the gateway lives, is not ready, and answers 503, not 401."""
    async with start(jwks_url="http://127.0.0.1:1/jwks") as world:
        response = await world.client.get("/v1/me", headers=world.bearer())
        assert (response.status_code, response.json()["code"]) == (503, "keys_unavailable")
        assert response.headers["Retry-After"]
        assert (await world.client.get("/livez")).status_code == 200
        ready = await world.client.get("/readyz")
        assert (ready.status_code, "KeysUnavailable" in ready.json()["checks"]["jwks"]) == (503, True)


async def test_keys_from_another_replica(start: Start) -> None:
    """With one users process away, the keys are fetched from the next."""
    async with start() as other, start(jwks_url=f"http://127.0.0.1:1/jwks,{other.users.url}{JWKS_PATH}") as world:
        await eventually(lambda: bool(world.gateway.keys.keys))
        assert (await world.client.get("/v1/me", headers=world.bearer())).status_code == 200


async def test_signing_out_ends_the_session_everywhere(start: Start) -> None:
    """After `DELETE /v1/tokens` this gateway at once, every other in a moment refuses the session's token, and no
    other session's."""
    async with start() as here, start() as elsewhere:
        user_id, session = new_id(), new_id()
        headers, other_session = here.bearer(user_id, session=session), here.bearer(user_id)
        here.users.behaviours["/v1/tokens"] = replies(b"", 204)
        assert (await elsewhere.client.get("/v1/me", headers=headers)).status_code == 200
        assert (await here.client.delete("/v1/tokens", headers=headers)).status_code == 204
        assert await _refused(here, headers)
        await eventually(lambda: _refused(elsewhere, headers))
        for world in (here, elsewhere):
            assert (await world.client.get("/v1/me", headers=other_session)).status_code == 200


async def test_what_was_revoked_before_the_start_is_known(start: Start) -> None:
    """A gateway that starts reads what others have revoked; entries that it cannot read cost nothing."""
    async with start() as here:
        session = new_id()
        headers = here.bearer(session=session)
        await here.redis.xadd(STREAM, {"session": "nobody", "more": "\xff"})
        assert (await here.client.delete("/v1/tokens", headers=headers)).status_code == 200
        async with start() as later:
            await eventually(lambda: _refused(later, headers))
            assert (await later.client.get("/v1/me", headers=later.bearer())).status_code == 200


async def test_what_was_revoked_while_redis_was_away_is_made_up_for(start: Start, redis: RedisBackend) -> None:
    """After Redis comes back, what is revoked elsewhere is heard of again, without a request asking."""
    async with start(redis_write_timeout_s=0.1) as here, start(redis_write_timeout_s=0.1) as elsewhere:
        await asyncio.to_thread(redis.restart)
        headers = here.bearer()

        async def told() -> bool:
            await here.client.delete("/v1/tokens", headers=headers)
            here_refuses = await _refused(here, headers)
            return here_refuses and await _refused(elsewhere, headers)

        await eventually(told)


async def test_deleting_oneself_ends_everything(start: Start) -> None:
    """After `DELETE /v1/me` all of the user's sessions are refused, and nothing is remembered of them."""
    async with start() as here, start() as elsewhere:
        user_id = new_id()
        first, second = here.bearer(user_id), here.bearer(user_id)
        await here.client.get("/v1/dashboard", headers=first)
        key = f"lkg:user:{user_id}"
        await eventually(lambda: _exists(here, key))
        here.users.behaviours["/v1/me"] = replies(b"", 204)
        assert (await here.client.delete("/v1/me", headers=first)).status_code == 204
        assert not await _exists(here, key)
        for headers in (first, second):
            assert (await here.client.get("/v1/dashboard", headers=headers)).status_code == 401
            await eventually(partial(_refused, elsewhere, headers))


async def _exists(world: World, key: str) -> bool:
    return bool(await world.redis.exists(key))


async def test_a_dashboard_under_way_does_not_bring_a_deleted_user_back(world: World) -> None:
    """What is fetched before and written after the deletion is not written."""
    user_id = new_id()
    await world.redis.xadd(STREAM, {"user": str(user_id)})
    await eventually(lambda: world.gateway.revocations.knows_user(user_id))
    marker = new_id()
    world.gateway.stale_store.remember(str(user_id), {"user": b"{}"}, time.monotonic())
    world.gateway.stale_store.remember(str(marker), {"user": b"{}"}, time.monotonic())
    await eventually(lambda: _exists(world, f"lkg:user:{marker}"))
    assert not await _exists(world, f"lkg:user:{user_id}")


async def test_what_was_written_before_another_gateway_told_of_a_deletion_goes(world: World) -> None:
    """Whichever comes first, the dashboard's panels or the word of the deletion: nothing of the user stays."""
    user_id = new_id()
    key = f"lkg:user:{user_id}"
    world.gateway.stale_store.remember(str(user_id), {"user": b"{}"}, time.monotonic())
    await eventually(lambda: _exists(world, key))
    await world.redis.xadd(STREAM, {"user": str(user_id)})
    await eventually(lambda: _is_gone(world, key))


async def _is_gone(world: World, key: str) -> bool:
    return not await _exists(world, key)


async def test_a_refused_deletion_ends_nothing(world: World) -> None:
    """Only a success of the service revokes."""
    headers = world.bearer()
    world.users.behaviours["/v1/me"] = replies(b"{}", 409)
    assert (await world.client.delete("/v1/me", headers=headers)).status_code == 409
    world.users.behaviours["/v1/me"] = replies(b"{}")
    assert (await world.client.get("/v1/me", headers=headers)).status_code == 200


async def test_without_redis_a_revocation_holds_here(start: Start) -> None:
    """Redis away: tokens are taken as they are, but this gateway refuses what it revoked itself."""
    async with start(redis_url="redis://127.0.0.1:1/0") as world:
        headers = world.bearer()
        assert (await world.client.get("/v1/me", headers=headers)).status_code == 200
        await world.client.delete("/v1/tokens", headers=headers)
        assert (await world.client.get("/v1/me", headers=headers)).status_code == 401
