"""Passed-through routes and their access rules. The gateway's own routes are in `api/access.py`."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import quote

from starlette.convertors import StringConvertor, register_url_convertor

from services.gateway.auth.authenticator import Access
from services.gateway.panels import Service
from shared.errors import InvalidInput
from shared.http.tokens import USER_ISSUER


class NameConvertor(StringConvertor):
    """`{job:name}`: nothing that could change the path in which it is inserted."""

    regex = "[a-z][a-z0-9_-]*"


class KeyConvertor(StringConvertor):
    """`{key:key}`: base64url, likewise."""

    regex = "[A-Za-z0-9_-]{1,200}"


register_url_convertor("name", NameConvertor())
register_url_convertor("key", KeyConvertor())

Ending = Literal["session", "named", "user", "others"]
Others = Literal["nobody", "operators", "everyone"]
"""Who may access the object in a path besides its owner; for all others it does not exist."""
_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")


@dataclass(frozen=True)
class Operation:
    """`ends`: what the service's success ends; the gateway then rejects its access tokens. `named`: the session or API
    key whose id is in the path. `others`: possibly other sessions, of the caller or of another account, which the
    service names.

    `touches`: the caller's panels that change. If an order is not the caller's, the gateway does not know its user: the
    event does.

    `others`: who may call it for another user's object, if the path names one.
    `audited`: operator actions through it are recorded beforehand.

    `takes_password`: the body may contain the caller's password, which counts as a sign-in attempt.
    `session_only`: API keys may not call it; nor may they call anything that takes the password.

    `names_caller`: anyone may call it, and the service learns who calls, if the request has a valid token.

    `max_body_bytes`: set if a body may be larger than that of an ordinary route.
    `upload`: a body may be as large, and take as long, as the settings for uploads allow.

    `target`: the path at the service, if it is another one.

    `issuers`: whose callers the service knows; empty means all that the gateway accepts.
    """

    method: str
    path: str
    service: Service
    access: Access
    others: Others = "nobody"
    audited: bool = False
    ends: Ending | None = None
    touches: tuple[str, ...] = ()
    takes_password: bool = False
    session_only: bool = False
    names_caller: bool = False
    max_body_bytes: int | None = None
    upload: bool = False
    target: str = ""
    issuers: frozenset[str] = frozenset({USER_ISSUER})

    @property
    def allows_api_keys(self) -> bool:
        return not (self.session_only or self.takes_password)

    @property
    def template(self) -> str:
        """The path without converters: `/v1/users/{id}`."""
        return _PARAMETER.sub(r"{\1}", self.path)

    @property
    def shape(self) -> str:
        """The path without the names of its parameters: two routes with the same one are the same route."""
        return shape_of(self.path)

    @property
    def signature(self) -> str:
        """How a panel names it: `GET /v1/users/{id}`."""
        return f"{self.method} {self.template}"

    @property
    def parameters(self) -> dict[str, str]:
        """The converter of each parameter in the path."""
        return {name: convertor or "str" for name, convertor in _PARAMETER.findall(self.path)}

    @property
    def target_parameters(self) -> list[str]:
        return [name for name, _ in _PARAMETER.findall(self.target)]

    def touching(self, panels: tuple[str, ...]) -> "Operation":
        """Return the same operation with these panels."""
        return replace(self, touches=panels)

    def target_of(self, values: Mapping[str, object]) -> str:
        """Return the path at the service for these values of the parameters. Raises `InvalidInput` for one that would
        change the path."""
        parameters = self.parameters

        def encoded(parameter: re.Match[str]) -> str:
            name = parameter[1]
            value, whole = str(values[name]), parameters[name] == "path"
            if any(part in (".", "..") for part in value.split("/")) or (not whole and not value):
                raise InvalidInput.of(name, "is not allowed here")
            return quote(value, safe="/" if whole else "")

        return _PARAMETER.sub(encoded, self.target or self.path)


def shape_of(path: str) -> str:
    """Return a path without the names of its parameters."""
    return _PARAMETER.sub("{}", path)


def body_limits(operations: Iterable[Operation], upload_max_bytes: int) -> dict[str, int]:
    """By path, where bodies may be larger than those of ordinary routes."""
    limits = ((each.path, upload_max_bytes if each.upload else each.max_body_bytes) for each in operations)
    return {path: limit for path, limit in limits if limit}
