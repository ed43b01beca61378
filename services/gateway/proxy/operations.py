"""The passed-through routes and their access rules. The gateway's own routes are in `access.py`."""

import re
from dataclasses import dataclass
from typing import Literal

from starlette.convertors import StringConvertor, register_url_convertor

from services.gateway.auth.authenticator import Access
from services.gateway.panels import PANELS, Service
from shared.contracts.internal_api import MAX_PICTURE_BYTES


class NameConvertor(StringConvertor):
    """`{job:name}`: nothing that could change the path in which it is inserted."""

    regex = "[a-z][a-z0-9_-]*"


class KeyConvertor(StringConvertor):
    """`{key:key}`: base64url, likewise."""

    regex = "[A-Za-z0-9_-]{1,200}"


register_url_convertor("name", NameConvertor())
register_url_convertor("key", KeyConvertor())

EVERY_PANEL = tuple(panel.name for panel in PANELS)

Ending = Literal["session", "user", "others"]
Others = Literal["nobody", "operators", "everyone"]
"""Who may access the object in a path besides its owner; for all others it does not exist."""


@dataclass(frozen=True)
class Operation:
    """`ends`: what the service's success ends; the gateway then rejects its access tokens. `others`: possibly other
    sessions of the caller, which the service names.

    `touches`: the caller's panels that change. If an order is not the caller's, the gateway does not know its user: the
    event does.

    `others`: who may call it for another user's object, if the path names one.
    `audited`: operator actions through it are recorded beforehand.

    `takes_password`: the body may contain the caller's password, which counts as a sign-in attempt.

    `max_body_bytes`: set if a body may be larger than that of an ordinary route.
    `upload`: a body may be as large, and take as long, as the settings for uploads allow.
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
    max_body_bytes: int | None = None
    upload: bool = False

    @property
    def template(self) -> str:
        """The path without converters: `/v1/users/{id}`."""
        return re.sub(r":\w+}", "}", self.path)


OPERATIONS = (
    Operation("POST", "/v1/users", "users", "anonymous"),
    Operation("GET", "/v1/users", "users", "operator", audited=True),
    Operation("GET", "/v1/users/count", "users", "operator"),
    Operation("GET", "/v1/users/{id:uuid}", "users", "user", others="operators", audited=True),
    Operation("POST", "/v1/tokens", "users", "anonymous"),
    Operation("DELETE", "/v1/tokens", "users", "user", ends="session"),
    Operation("POST", "/v1/tokens/refresh", "users", "anonymous"),
    Operation("GET", "/v1/me", "users", "user"),
    Operation("PATCH", "/v1/me", "users", "user", ends="others", touches=("user",), takes_password=True),
    Operation("DELETE", "/v1/me", "users", "user", ends="user", touches=EVERY_PANEL, takes_password=True),
    Operation("PUT", "/v1/me/avatar", "users", "user", touches=("user",), max_body_bytes=MAX_PICTURE_BYTES),
    Operation("DELETE", "/v1/me/avatar", "users", "user", touches=("user",)),
    Operation("GET", "/v1/users/{id:uuid}/avatar", "users", "user", others="everyone"),
    Operation("GET", "/.well-known/jwks.json", "users", "anonymous"),
    Operation("POST", "/v1/orders", "orders", "user", touches=("orders",)),
    Operation("GET", "/v1/orders", "orders", "user"),
    Operation("GET", "/v1/orders/{id:uuid}", "orders", "user", others="operators", audited=True),
    Operation("POST", "/v1/orders/{id:uuid}/pay", "orders", "user", touches=("orders",)),
    Operation("POST", "/v1/orders/{id:uuid}/cancel", "orders", "user", touches=("orders",)),
    Operation("POST", "/v1/orders/{id:uuid}/ship", "orders", "admin", audited=True, touches=("orders",)),
    Operation("GET", "/v1/notifications", "worker", "user"),
    Operation("GET", "/v1/notifications/count", "worker", "user"),
    Operation("POST", "/v1/notifications/read", "worker", "user", touches=("notifications",)),
    Operation("POST", "/v1/notifications/{id:uuid}/read", "worker", "user", touches=("notifications",)),
    Operation("GET", "/v1/me/notification-settings", "worker", "user"),
    Operation("PUT", "/v1/me/notification-settings", "worker", "user"),
    Operation("GET", "/v1/unsubscribe/{key:key}", "worker", "anonymous"),
    Operation("POST", "/v1/unsubscribe/{key:key}", "worker", "anonymous"),
    Operation("POST", "/v1/imports", "worker", "user", upload=True),
    Operation("GET", "/v1/imports", "worker", "user"),
    Operation("GET", "/v1/imports/{id:uuid}", "worker", "user"),
    Operation("GET", "/v1/imports/{id:uuid}/errors", "worker", "user"),
    Operation("POST", "/v1/imports/{id:uuid}/cancel", "worker", "user"),
    Operation("POST", "/v1/reports", "worker", "user"),
    Operation("GET", "/v1/reports", "worker", "user"),
    Operation("GET", "/v1/reports/{id:uuid}", "worker", "user"),
    Operation("POST", "/v1/webhooks", "worker", "user"),
    Operation("GET", "/v1/webhooks", "worker", "user"),
    Operation("GET", "/v1/webhooks/{id:uuid}", "worker", "user"),
    Operation("PATCH", "/v1/webhooks/{id:uuid}", "worker", "user"),
    Operation("DELETE", "/v1/webhooks/{id:uuid}", "worker", "user"),
    Operation("POST", "/v1/webhooks/{id:uuid}/secret", "worker", "user"),
    Operation("POST", "/v1/webhooks/{id:uuid}/test", "worker", "user"),
    Operation("GET", "/v1/webhooks/{id:uuid}/deliveries", "worker", "user"),
    Operation("GET", "/v1/webhooks/{id:uuid}/deliveries/{delivery_id:uuid}", "worker", "user"),
    Operation("POST", "/v1/webhooks/{id:uuid}/deliveries/{delivery_id:uuid}/replay", "worker", "user"),
    Operation("GET", "/v1/admin/jobs", "worker", "operator"),
    Operation("GET", "/v1/admin/jobs/groups", "worker", "operator"),
    Operation("GET", "/v1/admin/jobs/paused", "worker", "operator"),
    Operation("GET", "/v1/admin/jobs/{job:name}/{id:uuid}", "worker", "operator", audited=True),
    Operation("POST", "/v1/admin/jobs/replay", "worker", "admin", audited=True),
    Operation("POST", "/v1/admin/jobs/discard", "worker", "admin", audited=True),
    Operation("POST", "/v1/admin/jobs/{job:name}/{id:uuid}/retry", "worker", "admin", audited=True),
    Operation("POST", "/v1/admin/jobs/{job:name}/{id:uuid}/cancel", "worker", "admin", audited=True),
    Operation("POST", "/v1/admin/jobs/{job:name}/pause", "worker", "admin", audited=True),
    Operation("POST", "/v1/admin/jobs/{job:name}/resume", "worker", "admin", audited=True),
    Operation("GET", "/v1/admin/schedules", "worker", "operator"),
    Operation("POST", "/v1/admin/schedules/{name:name}/run", "worker", "admin", audited=True),
    Operation("POST", "/v1/admin/schedules/{name:name}/pause", "worker", "admin", audited=True),
    Operation("POST", "/v1/admin/schedules/{name:name}/resume", "worker", "admin", audited=True),
    Operation("GET", "/v1/admin/audit", "users", "operator", audited=True),
)


def body_limits(upload_max_bytes: int) -> dict[str, int]:
    """By path, where bodies may be larger than those of ordinary routes."""
    limits = ((each.path, upload_max_bytes if each.upload else each.max_body_bytes) for each in OPERATIONS)
    return {path: limit for path, limit in limits if limit}
