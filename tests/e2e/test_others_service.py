"""The gateway alone, in front of programs that are not of this project: an OpenID provider, and Datasette, which
answers with the rows of an SQLite database."""

import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.identity_provider import CLIENT, IdentityProvider, identity_provider
from tests.support.programs import Program, running
from tests.support.served import client
from tools.devstack.system.ports import free_port

pytestmark = pytest.mark.e2e

SHOP = """
CREATE TABLE customers (name TEXT PRIMARY KEY, level TEXT);
CREATE TABLE purchases (customer TEXT REFERENCES customers, item TEXT, price REAL);
INSERT INTO customers VALUES ('ann', 'gold'), ('o''neill & sons', 'silver');
INSERT INTO purchases VALUES ('ann', 'Green tea', 12.5), ('ann', 'Cup', 8), ('o''neill & sons', 'Pot', 31);
"""
PANELS = """
[services.shop]
url = "{url}"

[panels.customer]
service = "shop"
get = "/shop/customers.json?name__exact={{user_id}}&_shape=array&_nl=on"
kind = "object"
timeout_ms = 10000

[panels.purchases]
service = "shop"
get = "/shop/purchases.json?customer__exact={{user_id}}"
pick = "/rows"
kind = "list"
timeout_ms = 10000
max_age_s = 60

[panels.nothing]
service = "shop"
get = "/shop/no_such_table.json"
kind = "object"
timeout_ms = 10000

[panels.page]
service = "shop"
get = "/shop"
kind = "object"
timeout_ms = 10000
"""
"""`_nl` prints one object per line, so the row of one customer is one object. `/shop` is a page for people."""


@dataclass
class Gateway:
    url: str
    provider: IdentityProvider
    shop: Program

    async def read(self, subject: str) -> Any:
        headers = {"Authorization": f"Bearer {await self.provider.token(subject)}"}
        async with client(base_url=self.url) as http:
            return (await http.get("/v1/dashboard?budget_ms=10000", headers=headers)).json()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    with sqlite3.connect(tmp_path / "shop.db") as database:
        database.executescript(SHOP)
    database.close()
    shop_port, port, internal_port = free_port(), free_port(), free_port()
    shop_url, url = f"http://127.0.0.1:{shop_port}", f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "datasette", str(tmp_path / "shop.db"), "--port", str(shop_port)]
    shop = Program(command, {}, tmp_path / "shop.log", f"{shop_url}/-/versions.json")
    (tmp_path / "panels.toml").write_text(PANELS.format(url=shop_url))
    async with identity_provider({"ann": {}, "o'neill & sons": {}}, tmp_path) as provider:
        told = {
            "ENVIRONMENT": "development",
            "GATEWAY_PORT": str(port),
            "GATEWAY_INTERNAL_PORT": str(internal_port),
            "GATEWAY_PANELS_FILE": str(tmp_path / "panels.toml"),
            "GATEWAY_ISSUERS": json.dumps([{"issuer": provider.issuer, "audience": CLIENT}]),
            **dict.fromkeys(("GATEWAY_JWKS_URL", "GATEWAY_REDIS_URL", "GATEWAY_RABBITMQ_URL"), ""),
        }
        serving = Program(
            [str(Path(sys.executable).with_name("dashboard")), "serve", "gateway"],
            told,
            tmp_path / "gateway.log",
            f"{url}/readyz",
        )
        async with running(shop, serving):
            yield Gateway(url, provider, shop)


@pytest.mark.full
async def test_panels_of_a_service_of_others(gateway: Gateway) -> None:
    """Rows become panels; a missing table is no data, and a page for people is no panel. A service that has ended costs
    its panels, but not those that are in memory."""
    found = await gateway.read("ann")
    panels = found["panels"]
    assert found["user_id"] == "ann"
    assert panels["customer"]["data"] == {"name": "ann", "level": "gold"}
    assert panels["purchases"]["data"] == [[1, "ann", "Green tea", 12.5], [2, "ann", "Cup", 8.0]]
    assert (panels["nothing"]["status"], panels["nothing"]["data"]) == ("fresh", None)
    assert panels["page"]["error"]["code"] == "bad_response"

    other = (await gateway.read("o'neill & sons"))["panels"]
    assert other["customer"]["data"] == {"name": "o'neill & sons", "level": "silver"}
    assert [row[2] for row in other["purchases"]["data"]] == ["Pot"]

    await gateway.shop.kill()
    left = (await gateway.read("ann"))["panels"]
    assert left["customer"]["error"]["code"] == "connect"
    assert left["purchases"]["data"] == panels["purchases"]["data"]
