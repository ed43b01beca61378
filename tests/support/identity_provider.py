"""A real OpenID provider of a package, as a program of its own behind a link that a test can cut."""

import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from tests.support.link import Link
from tests.support.programs import Program
from tests.support.served import client
from tools.devstack.system.ports import free_port

CLIENT = "shop"
REDIRECT = "http://shop.example/signed-in"

Users = Mapping[str, Mapping[str, Any]]
"""Claims by subject."""


class IdentityProvider:
    """Its tokens are ID tokens without a key id, signed with RS256; its key set has one key."""

    def __init__(self, program: Program, link: Link) -> None:
        self._program = program
        self.link = link

    @property
    def issuer(self) -> str:
        """The provider derives it from the address by which it is called."""
        return self.link.url

    async def rotate(self) -> None:
        """Replace the key: the provider makes a new one when it starts."""
        await self._program.kill()
        await self._program.start()
        await self._program.until_ready()

    async def returns(self, url: str, subject: str) -> dict[str, str]:
        """Sign in at the address to which a browser was sent; return the parameters with which it goes back. An empty
        subject denies it."""
        form = {"sub": subject} if subject else {"action": "deny"}
        async with client() as http:
            signed_in = await http.post(url, data=form)
        return dict(httpx.URL(signed_in.headers["Location"]).params)

    async def token(self, subject: str, audience: str = CLIENT) -> str:
        """Sign in by the authorization code flow; return the ID token."""
        asked = {"client_id": audience, "redirect_uri": REDIRECT, "response_type": "code", "scope": "openid"}
        async with client(base_url=self.issuer) as http:
            signed_in = await http.post("/oauth2/authorize", params=asked, data={"sub": subject})
            code = httpx.URL(signed_in.headers["Location"]).params["code"]
            given = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "client_id": audience}
            exchanged = await http.post("/oauth2/token", data={**given, "client_secret": "any"})
        id_token: str = exchanged.json()["id_token"]
        return id_token


@asynccontextmanager
async def identity_provider(users: Users, folder: Path) -> AsyncIterator[IdentityProvider]:
    """Run a provider with these users."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    told = [json.dumps({"sub": subject, **claims}) for subject, claims in users.items()]
    options = ["--port", str(port), *(word for each in told for word in ("--user-claims", each))]
    command = [sys.executable, "-m", "oidc_provider_mock", *options]
    program = Program(command, {}, folder / "provider.log", f"{url}/.well-known/openid-configuration")
    try:
        await program.start()
        await program.until_ready()
        async with Link.to(url) as link:
            yield IdentityProvider(program, link)
    finally:
        await program.kill()
