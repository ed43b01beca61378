"""A gateway in front of a service that nobody here wrote, for people of another identity provider, with its page."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.ids import new_id
from tests.support.gateway.issuers import AUDIENCE, ISSUER, IssuerSigner, jwks
from tests.support.gateway.stub import StubService, replies
from tests.support.gateway.world import Start, World
from tests.support.served import listening

KEYS = "/keys"
NEVER = 10**6
"""More calls than any test makes: no circuit opens."""
ADA: dict[str, Any] = {"name": "Ada Lovelace", "email": "ada@example.com"}
LINK = "https://example.com/customers/10023"
MARKUP = '<img src="x" onerror="throw 1">'

CUSTOMER: dict[str, Any] = {
    "customer_no": 10023,
    "points": 1284350,
    "discount": 0.125,
    "tier": "Gold",
    "memberSince": "2019-04-30",
    "last_visit": "2026-11-28T09:15:00Z",
    "newsletter": True,
    "blocked": False,
    "homepage": LINK,
    "sales_contact": None,
    "remarks": "Prefers to be called in the morning. " * 12,
    "address": {"street": "12 St James's Square", "city": "London", "post_code": "SW1Y 4JH"},
    "favourites": ["Green tea", "Assam", "Darjeeling"],
}
SUBJECTS = ("Invoice is not readable", "Change of address", "Missing parcel", "Cancellation of a subscription")
TICKETS: list[dict[str, Any]] = [
    {
        "id": 4100 + number,
        "subject": SUBJECTS[number % len(SUBJECTS)],
        "opened_at": f"2026-11-{28 - number:02}T08:{number:02}:00Z",
        "open": number < 3,
        "replies": number * 400,
        "agent": {"name": "Grace Hopper", "team": "Billing"},
        "channel": "mail",
        **({"rating": 5} if number % 2 else {}),
    }
    for number in range(20)
]
DATA: dict[str, Any] = {
    "customer": CUSTOMER,
    "tickets": TICKETS,
    "newsletters": ["Tea of the month", "New arrivals"],
    "contract": None,
}
TITLES = {"customer": "Customer", "tickets": "Support tickets", "newsletters": "Newsletters", "contract": "Contract"}


def panels_file(url: str, panels: Mapping[str, Any], service: str = "", more: str = "") -> str:
    """Return a panels file with these panels of a service at that URL. `service` are more of its keys."""
    tables = [f'[services.crm]\nurl = "{url}"\n{service}\n']
    for name, data in panels.items():
        kind = "list" if isinstance(data, list) else "object"
        tables.append(
            f'[panels.{name}]\nservice = "crm"\nget = "/{name}?of={{user_id}}"\nkind = "{kind}"\n'
            f'title = "{TITLES.get(name, "")}"\ntimeout_ms = 10000\nmax_age_s = 0\n'
        )
    return "\n".join([*tables, more])


@dataclass
class Crm:
    """The service, the gateway in front of it, and its page at `url`."""

    world: World
    service: StubService
    signer: IssuerSigner
    path: Path
    url: str
    person: str = field(default_factory=lambda: f"auth0|{new_id()}")

    def token(self, **claims: Any) -> str:
        return self.signer.sign(**(ADA | {"sub": self.person} | claims))

    def answers(self, panel: str, data: Any, status: int = 200) -> None:
        self.service.behaviours[f"/{panel}"] = replies(json.dumps(data).encode(), status)


@asynccontextmanager
async def crm_gateway(
    start: Start,
    folder: Path,
    panels: Mapping[str, Any] = DATA,
    service: str = "",
    more: str = "",
    **settings: Any,
) -> AsyncIterator[Crm]:
    """Start the service with this data by panel, and the gateway with only these panels and no routes."""
    signer = IssuerSigner.of()
    async with StubService({KEYS: replies(jwks(signer.jwk()))}).running() as stub:
        path = folder / "panels.toml"
        path.write_text(panels_file(stub.url, panels, service, more))
        roles = {"role": "role", "roles": {"operator": "support"}}
        issuer = {"issuer": ISSUER, "audience": AUDIENCE, "jwks": stub.url + KEYS, **roles}
        no_breaker: dict[str, Any] = {"breaker_min_calls": NEVER, "retry_share": 0}
        gateway = start(issuers=json.dumps([issuer]), panels_file=str(path), **(no_breaker | settings))
        async with gateway as world, listening(world.app) as port:
            crm = Crm(world, stub, signer, path, f"http://127.0.0.1:{port}")
            for name, data in panels.items():
                crm.answers(name, data)
            yield crm
