"""The callers of a service: the gateway, and the worker where it places orders, and asks for links and addresses."""

import re
from collections.abc import Iterable, Iterator
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute

from shared.contracts.imports import BATCH_PATH
from shared.contracts.internal_api import ADDRESSES_PATH, LINKS_PATH
from shared.http.identity import USER_ID_HEADER, USER_ROLE_HEADER
from shared.http.tokens import ServiceTokens
from tests.support.services.every import EVERY

OPEN = {"/livez", "/readyz", "/metrics", "/openapi.json", "/.well-known/jwks.json"}
WORKERS = (BATCH_PATH, LINKS_PATH, ADDRESSES_PATH)
"""The beginnings of the paths that the worker may call."""


def routes_of(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str]]:
    """Return method and path of every route, including those of included routers."""
    for route in routes:
        if included := getattr(route, "original_router", None):
            yield from routes_of(included.routes)
        path = re.sub(r"{[^}]+}", str(uuid4()), getattr(route, "path", ""))
        for method in getattr(route, "methods", None) or ():
            yield method, path


@pytest.mark.parametrize("service", EVERY, ids=str)
@pytest.mark.parametrize("calling", ["users", "orders", "worker", "gateway2", ""])
async def test_no_other_service_is_answered(app: FastAPI, calling: str) -> None:
    """Panels, internal routes and all others answer 401 to a token of any other service, with any identity."""
    token = ServiceTokens(app.state.settings.internal_token_secret.get_secret_value(), calling).token()
    headers = {"Authorization": f"Bearer {token}", USER_ID_HEADER: str(uuid4()), USER_ROLE_HEADER: "admin"}
    asked = 0
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service") as client:
        for method, path in routes_of(app.routes):
            if path in OPEN or (path.startswith(WORKERS) and calling == "worker"):
                continue
            answer = await client.request(method, path, headers=headers, json={"ids": [str(uuid4())]})
            assert answer.status_code == 401, (method, path)
            asked += 1
    assert asked > 5
