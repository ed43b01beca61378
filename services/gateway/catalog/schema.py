"""The tables of a panels file, as pydantic validates them. docs/panels.md describes each key."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from services.gateway.auth.authenticator import Access
from services.gateway.panels import EVERYONE, Kind, Protocol
from services.gateway.proxy.operations import Ending, Others
from services.gateway.settings import BaseUrls
from shared.contracts.events import EVENTS
from shared.http.tokens import Role

RESERVED = frozenset({"jwks", "rabbitmq", "redis"})
"""Names that no service may have: GATEWAY_REDIS_URL is the address of Redis."""
VARIABLE = re.compile(r"\{([^{}]*)\}")
VARIABLE_NAME = re.compile(r"user_id|claim:[A-Za-z0-9_.:/-]{1,64}")
HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
SET_BY_THE_GATEWAY = frozenset(
    {"connection", "content-length", "cookie", "host", "te", "trailer", "transfer-encoding", "upgrade"}
)
PARAMETER = re.compile(r"\{[a-z_]+(:(uuid|name|key|path))?\}")


def _name(value: str) -> str:
    if value in RESERVED:
        raise ValueError(f"is reserved, as are {', '.join(sorted(RESERVED - {value}))}")
    return value


def _rest_path(value: str) -> str:
    if not value.startswith("/") or value.startswith("//") or not value.isascii() or re.search(r"[\s#\\]", value):
        raise ValueError("must be a path such as /customers/{user_id}")
    for variable in VARIABLE.findall(value):
        if not VARIABLE_NAME.fullmatch(variable):
            raise ValueError(f"unknown variable {{{variable}}}; known: {{user_id}}, {{claim:NAME}}")
    if set("{}") & set(VARIABLE.sub("", value)):
        raise ValueError("has a brace without its other half")
    return value


def _route_path(value: str) -> str:
    literal = PARAMETER.sub("", value)
    if not value.startswith("/") or not re.fullmatch(r"[A-Za-z0-9/._~-]*", literal) or "//" in value:
        raise ValueError("must be a path such as /v1/orders/{id:uuid}; converters: uuid, name, key, path")
    return value


def _pointer(value: str) -> str:
    if value and (not value.startswith("/") or re.search("~(?![01])", value)):
        raise ValueError("must be a JSON pointer such as /data/points")
    return value


def _header(value: str) -> str:
    if not HEADER_NAME.fullmatch(value):
        raise ValueError("is not the name of a header")
    if value.lower() in SET_BY_THE_GATEWAY:
        raise ValueError("cannot be set: it belongs to the connection or to the gateway")
    return value


Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,31}$")]
ServiceName = Annotated[Name, AfterValidator(_name)]
HeaderName = Annotated[str, AfterValidator(_header)]
EventType = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]+(\.[a-z0-9_-]+)+$")]


class Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ServiceTable(Table):
    url: BaseUrls
    internal: bool | None = None
    issuers: list[str] | None = None
    headers: dict[HeaderName, str] = {}
    forward: list[HeaderName] = []
    concurrency: int = Field(32, ge=1, le=10_000)


class PanelTable(Table):
    service: str
    protocol: Protocol = "batch"
    get: Annotated[str, AfterValidator(_rest_path)] | None = None
    pick: Annotated[str, AfterValidator(_pointer)] = ""
    kind: Kind
    title: str = Field("", max_length=60)
    timeout_ms: int = Field(ge=1, le=10_000)
    max_age_s: float | None = Field(None, ge=0, le=86_400)
    changed_by: list[str] = []
    touched_by: list[str] = []
    roles: list[Role] = Field(list(EVERYONE), min_length=1)
    knows_users: bool = False

    @model_validator(mode="before")
    @classmethod
    def _with_protocol(cls, values: Any) -> Any:
        """A panel with a path is a REST panel."""
        if isinstance(values, dict) and "get" in values:
            return {"protocol": "rest"} | values
        return values

    @model_validator(mode="after")
    def _fits_its_protocol(self) -> Self:
        if self.protocol == "rest" and self.get is None:
            raise ValueError('needs the key get = "/path/{user_id}", because its protocol is "rest"')
        if self.protocol == "batch" and (self.get is not None or self.pick):
            raise ValueError('has the protocol "batch", which has no get and no pick')
        return self


class RouteTable(Table):
    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: Annotated[str, AfterValidator(_route_path)]
    service: str
    access: Access
    target: Annotated[str, AfterValidator(_route_path)] | None = None
    touches: list[str] = []
    others: Others = "nobody"
    audited: bool = False
    ends: Ending | None = None
    takes_password: bool = False
    session_only: bool = False
    names_caller: bool = False
    max_body_bytes: int | None = Field(None, ge=1)
    upload: bool = False


class PanelsFile(Table):
    services: dict[ServiceName, ServiceTable]
    panels: dict[Name, PanelTable]
    routes: list[RouteTable] = []
    events: list[EventType] = []
    """The types of events of other applications."""

    @property
    def known_events(self) -> list[str]:
        return [*EVENTS, *self.events]
