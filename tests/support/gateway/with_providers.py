"""A gateway with the users service behind it, and a real OpenID provider with which people sign in to its page."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.support import users
from tests.support.gateway.world import JWKS_PATH, Start, World
from tests.support.identity_provider import IdentityProvider, identity_provider
from tests.support.patience import patiently
from tests.support.served import client, listening
from tools.devstack.system.ports import free_port

SHIPPED = Path(__file__).parents[3] / "services/gateway/panels.toml"
NAME, TITLE = "example", "Example"


def panels_of_users() -> str:
    """Return a panels file with only the routes and the panel of the users service."""
    lines = SHIPPED.read_text().splitlines()
    routes = [line for line in lines if 'service = "users"' in line and line.startswith("  {")]
    user = ["[panels.user]", 'service = "users"', 'protocol = "batch"', 'kind = "object"', 'title = "Profile"']
    service = ["[services.users]", 'url = "http://replaced"', "internal = true"]
    return "\n".join(["routes = [", *routes, "]", *service, *user, "timeout_ms = 10000"])


@dataclass
class SignInSite:
    """The page is at `url`. `users` calls the users service directly, as the gateway does."""

    world: World
    users: users.Gateway
    provider: IdentityProvider
    url: str

    async def newcomer(self, **claims: Any) -> str:
        """Add a person with a verified address to the provider; return their subject."""
        subject = uuid4().hex
        told = {"email": f"{subject}@example.com", "email_verified": True, "name": "Grace Hopper", **claims}
        async with client(base_url=self.provider.issuer) as http:
            (await http.put(f"/users/{subject}", json=told)).raise_for_status()
        return subject


@asynccontextmanager
async def sign_in_site(start: Start, database_url: str, folder: Path) -> AsyncIterator[SignInSite]:
    async with AsyncExitStack() as stack:
        provider = await stack.enter_async_context(identity_provider({}, folder))
        url = f"http://127.0.0.1:{free_port()}"
        config = {"name": NAME, "title": TITLE, "issuer": provider.issuer, "client_id": "shop", "client_secret": "any"}
        settings = users.settings_for(database_url, public_url=url, oidc_providers=json.dumps([config]))
        app, direct = await stack.enter_async_context(patiently(users.serving(settings)))
        behind = f"http://127.0.0.1:{await stack.enter_async_context(listening(app))}"
        secret = users.SECRET.get_secret_value()
        panels = folder / "panels.toml"
        panels.write_text(panels_of_users())
        told = {"users_url": behind, "jwks_url": behind + JWKS_PATH, "internal_token_secret": secret}
        world = await stack.enter_async_context(start(**told, panels_file=str(panels)))
        await stack.enter_async_context(listening(world.app, int(url.rpartition(":")[2])))
        yield SignInSite(world, direct, provider, url)
