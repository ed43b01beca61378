"""Every credential on every route, as the access table says, at one gateway in front of stub services.

`tests/e2e/system/test_access.py` does the same on the whole stack.
"""

from datetime import timedelta

import pytest

from services.gateway.api.access import KEYS, VISITORS, Rule, Visitor, rules, verdict
from shared.clock import now
from shared.http.tokens import Role, UserTokens
from shared.ids import new_id
from tests.support.gateway.api_keys import Key, StoredKeys
from tests.support.gateway.stub import GATEWAYS_OWN
from tests.support.gateway.world import SEED, World

ROLES: dict[Visitor, Role] = {"user": "user", "another user": "user", "support": "support", "admin": "admin"}
REFUSED = (401, 403)
TYPICAL = ("user", "admin", "read key", "write key", "expired token", "mistyped key", "anonymous")
"""The other visitors are those of `make full`."""


async def credential(world: World, keys: StoredKeys, visitor: Visitor) -> dict[str, str]:
    """Return the headers of a new visitor of this kind."""
    if visitor in ROLES:
        return world.bearer(role=ROLES[visitor])
    if visitor in KEYS:
        scope, owner = KEYS[visitor]
        return keys.add([scope], role=ROLES[owner]).headers
    match visitor:
        case "expired token":
            return {"Authorization": f"Bearer {UserTokens([SEED], -3600).issue(new_id(), new_id(), 'admin')}"}
        case "revoked token":
            session = new_id()
            await world.gateway.revocations.end_session(session)
            return world.bearer(session=session, role="admin")
        case "anonymous":
            return {}
    key = keys.add(["read", "write", "admin"], role="admin", expires_at=now() + timedelta(days=1))
    if visitor == "mistyped key":
        return Key(key.text[:-1] + ("0" if key.text[-1] != "0" else "1"), key.id, key.user_id).headers
    if visitor == "revoked key":
        await world.gateway.revocations.end_session(key.id)
    else:
        keys.remove(key)  # the users service does not return an expired key
    return key.headers


def path_of(rule: Rule) -> str:
    """Return a path of the route, with the ids of nobody's things."""
    names = {"id": new_id(), "delivery_id": new_id(), "job": "email", "name": "purge", "version": "x", "key": "x"}
    return rule.path.format(**names)


@pytest.mark.parametrize(
    "visitor", [pytest.param(name, marks=[] if name in TYPICAL else [pytest.mark.full]) for name in VISITORS]
)
async def test_each_credential_on_every_route(world: World, visitor: Visitor) -> None:
    """What the table allows is let through to the service, which decides about objects of others (404). What it does
    not is 401 or 403, and no service hears of it."""
    keys = StoredKeys.at(world.users)
    found, expected = {}, {}
    for rule in rules():
        name = f"{rule.method} {rule.path}"
        method = "HEAD" if rule.path == "/v1/dashboard/events" else rule.method  # a stream would not end
        headers = await credential(world, keys, visitor)
        before = _received(world)
        answer = await world.client.request(method, path_of(rule), headers=headers)
        said = verdict(rule, visitor)
        expected[name] = int(said) if said in ("401", "403") else None
        found[name] = answer.status_code if answer.status_code in REFUSED else None
        if found[name]:
            assert _received(world) == before, name
    assert found == expected


def _received(world: World) -> int:
    """The number of requests for users, without those that a gateway makes for itself."""
    every = (each for service in (world.users, world.orders, world.worker) for each in service.received)
    return sum(each.path not in GATEWAYS_OWN for each in every)
