"""Clients that exceed a limit are told when to retry, and others are not affected."""

import httpx
import pytest

from services.gateway.settings import Settings
from shared.ids import new_id
from tests.support.gateway.stub import replies
from tests.support.gateway.world import Start, World
from tests.support.waiting import eventually

TOKENS = "/v1/tokens"
JSON = {"Content-Type": "application/json"}


def refused(answer: httpx.Response, policy: str) -> bool:
    """Assert that it is a problem that names the policy, with the headers for limit and retry."""
    if answer.status_code != 429:
        return False
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "rate_limited"
    assert int(answer.headers["Retry-After"]) > 0
    assert answer.headers["RateLimit"].startswith(f'"{policy}";r=0;t=')
    assert answer.headers["RateLimit-Policy"].startswith(f'"{policy}";q=')
    return True


async def login(world: World, account: str, **more: str) -> httpx.Response:
    return await world.client.post(TOKENS, data={"username": account, "password": "wrong"}, headers=more)


async def test_reads_are_counted_by_user(start: Start) -> None:
    """Once the limit is reached, the user's next request is refused with any token; other users are not affected."""
    async with start(limit_read="3/year") as world:
        user = new_id()
        left = []
        for _ in range(3):
            answer = await world.client.get("/v1/me", headers=world.bearer(user))
            left.append(answer.headers["RateLimit"].split(";")[1])
        assert left == ["r=2", "r=1", "r=0"]
        assert answer.headers["RateLimit-Policy"] == '"read";q=3;w=31104000'
        assert refused(await world.client.get("/v1/dashboard", headers=world.bearer(user)), "read")
        assert (await world.client.get("/v1/me", headers=world.bearer())).status_code == 200


async def test_changes_are_counted_over_all_gateways(start: Start) -> None:
    """The changes that one gateway admits count at the next one."""
    async with start(limit_write="3/year") as one, start(limit_write="3/year") as other:
        user = new_id()
        for world in (one, other, one):
            answer = await world.client.post("/v1/orders", headers=world.bearer(user))
            assert answer.status_code == 200
        assert refused(await other.client.post("/v1/orders", headers=other.bearer(user)), "write")
        assert (await other.client.get("/v1/orders", headers=other.bearer(user))).status_code == 200


async def test_reads_come_to_be_counted_over_all_gateways(start: Start) -> None:
    """A moment later, each gateway knows the reads that the others admitted."""
    settings = {"limit_read": "50/year", "limits_report_s": 0.02}
    async with start(**settings) as one, start(**settings) as other:
        user = new_id()
        for _ in range(50):
            assert (await one.client.get("/v1/me", headers=one.bearer(user))).status_code == 200
        for _ in range(6):
            await other.client.get("/v1/me", headers=other.bearer(user))

        async def known_there() -> bool:
            return refused(await other.client.get("/v1/me", headers=other.bearer(user)), "read")

        await eventually(known_there)


async def test_guesses_at_one_account_are_limited(start: Start) -> None:
    """This applies however the address is written and the form is sent, and from any client; other accounts are not
    affected."""
    async with start(limit_login_account="3/year", trusted_proxies="127.0.0.0/8") as world:
        world.users.behaviours[TOKENS] = replies(b"{}", 401)
        assert (await login(world, "ann@example.com")).status_code == 401
        assert (await login(world, "ANN@Example.com", **{"X-Forwarded-For": "192.0.2.7"})).status_code == 401
        fields = {"username": (None, "ann@example.com"), "password": (None, "x")}
        assert (await world.client.post(TOKENS, files=fields)).status_code == 401
        assert refused(await login(world, "ann@example.com"), "login-account")
        assert (await login(world, "bob@example.com")).status_code == 401
        assert b"bob" in world.users.last(TOKENS).body


async def test_right_passwords_are_no_guesses(start: Start) -> None:
    """Repeated logins with the right password are not limited."""
    async with start(limit_login_account="2/year", limits_report_s=0.02) as world:
        for _ in range(5):

            async def let_in() -> bool:
                return (await login(world, "cleo@example.com")).status_code == 200

            await eventually(let_in)


@pytest.mark.parametrize(("path", "policy"), [(TOKENS, "login"), ("/v1/users", "registration")])
async def test_strangers_are_counted_by_address(start: Start, path: str, policy: str) -> None:
    """A client's own X-Forwarded-For has no effect."""
    async with start(limit_login_address="2/year", limit_registration="2/year") as world:
        for number in range(3):
            headers = {"X-Forwarded-For": f"192.0.2.{number}", "Forwarded": f"for=192.0.2.{number}"}
            answer = await world.client.post(path, headers=headers)
        assert refused(answer, policy)


async def test_behind_a_named_proxy_its_clients_are_told_apart(start: Start) -> None:
    """Clients are identified by the address that the proxy appended, not by the client's own header."""
    async with start(limit_registration="1/year", trusted_proxies="127.0.0.1/32") as world:
        codes = [
            (await world.client.post("/v1/users", headers={"X-Forwarded-For": f"192.0.2.99, {client}"})).status_code
            for client in ("192.0.2.1", "192.0.2.2", "192.0.2.1")
        ]
        assert codes == [200, 200, 429]
        assert world.users.last("/v1/users").values("X-Forwarded-For") == ["192.0.2.2"]


async def test_bad_tokens_are_counted_by_address(start: Start) -> None:
    """After several invalid tokens, further ones are refused without verification; known clients are not affected."""
    async with start(limit_anonymous="3/year") as world:
        ann = world.bearer()
        assert (await world.client.get("/v1/me", headers=ann)).status_code == 200
        for _ in range(3):
            assert (await world.client.get("/v1/me", headers={"Authorization": "Bearer a.b.c"})).status_code == 401
        assert refused(await world.client.get("/v1/me", headers={"Authorization": "Bearer a.b.c"}), "anonymous")
        assert refused(await world.client.get("/.well-known/jwks.json"), "anonymous")
        assert (await world.client.get("/v1/me", headers=ann)).status_code == 200
        assert (await world.client.get("/livez")).status_code == 200


async def test_every_limit_can_be_turned_off(start: Start) -> None:
    """An empty setting means no limit and no header."""
    names = [name for name in Settings.model_fields if name.startswith("limit_")]
    async with start(**dict.fromkeys(names, "")) as world:
        for method, path in (("GET", "/v1/me"), ("POST", "/v1/orders"), ("POST", TOKENS), ("POST", "/v1/imports")):
            answer = await world.client.request(method, path, headers=world.bearer())
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers
