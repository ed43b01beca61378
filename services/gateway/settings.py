"""The gateway's settings: `GATEWAY_…`."""

from ipaddress import ip_network
from typing import Annotated, Self
from urllib.parse import urlsplit

import limits
from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from shared.config.settings import Port, ServiceSettings


def _base_urls(told: str) -> str:
    urls = [url.strip() for url in told.split(",")]
    if not all(url.startswith(("http://", "https://")) for url in urls):
        raise ValueError("must be http(s) base URLs, separated by commas")
    return ",".join(url.rstrip("/") for url in urls)


BaseUrls = Annotated[str, AfterValidator(_base_urls)]
"""One or several comma-separated base URLs: the replicas of a service, used in turn."""


def _networks(told: str) -> str:
    for each in filter(None, map(str.strip, told.split(","))):
        ip_network(each)
    return told


def _rate(told: str) -> str:
    if told.strip():
        limits.parse(told)
    return told


def _origins(told: str) -> str:
    origins = [each.strip() for each in told.split(",") if each.strip()]
    for each in origins:
        parts = urlsplit(each)
        if each != "*" and (parts.scheme not in ("http", "https") or each != f"{parts.scheme}://{parts.netloc}"):
            raise ValueError("must be origins such as https://app.example.com, separated by commas, or *")
    return ",".join(origins)


Networks = Annotated[str, AfterValidator(_networks)]
Rate = Annotated[str, AfterValidator(_rate)]
Origins = Annotated[str, AfterValidator(_origins)]


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    internal_port: Port = 9000
    """The port of metrics and probes, which is not published."""

    users_url: BaseUrls = "http://127.0.0.1:8001"
    """The users service; several base URLs, separated by commas, are used in turn."""
    orders_url: BaseUrls = "http://127.0.0.1:8002"
    """The orders service; several base URLs as for users."""
    worker_url: BaseUrls = "http://127.0.0.1:8003"
    """The worker; several base URLs as for users."""
    jwks_url: BaseUrls = "http://127.0.0.1:8001/.well-known/jwks.json"
    """The keys for verifying user tokens; of several URLs, the next is tried if one fails."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Last known good panels, revoked sessions and rate limits. Without Redis the gateway works, but shows nothing
    stale."""
    rabbitmq_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    """The live feed. Without RabbitMQ the gateway works, but caches no panels."""
    cache_max_bytes: int = Field(64 * 1024 * 1024, ge=0)
    """Memory for cached panels; 0 disables the cache."""

    budget_ms: int = Field(1000, ge=10, le=10_000)
    """The default time budget of a dashboard."""
    pass_through_timeout_s: float = Field(15, gt=0, le=30)
    """The time from the first byte of a passed-through request to the head of its response, the upload included."""
    upload_max_bytes: int = Field(1024**3 + 1024**2, gt=0)
    """The largest request body of an upload; the service behind the gateway may accept less."""

    bulkhead_calls: int = Field(32, ge=1)
    """Concurrent panel calls to one service; further panels are `overloaded`."""

    secure_cookies: bool = False
    """Whether the page's cookie is sent over HTTPS only; needs HTTPS in front of the gateway."""
    session_cookie_ttl_s: int = Field(2_592_000, gt=0, validation_alias="REFRESH_TOKEN_TTL_S")
    """A session that is not refreshed for this long ends; browsers keep the page's cookie as long."""

    access_token_ttl_s: int = Field(900, gt=0, validation_alias="ACCESS_TOKEN_TTL_S")
    """How long an access token is valid, and so how long gateways remember its revocation."""

    last_known_good_max_age_s: int = Field(86_400, gt=0)
    """Older panels are not shown, not even as stale."""

    trusted_proxies: Networks = ""
    """Networks (CIDR) of the proxies in front, separated by commas. `X-Forwarded-For` counts only from these."""
    trace_trusted: Networks = ""
    """Networks (CIDR) of clients, separated by commas, whose `traceparent` decides whether a trace is recorded; for
    all others `TRACE_SAMPLE` decides."""
    limit_read: Rate = "12000/minute"
    """Reads by one user."""
    limit_write: Rate = "3000/minute"
    """Changes by one user."""
    limit_upload: Rate = "120/minute"
    """Uploads by one user."""
    limit_batch: Rate = "600/minute"
    """Requests for several dashboards by one user."""
    limit_stream: Rate = "600/minute"
    """Downloads and live streams started by one user."""
    limit_anonymous: Rate = "6000/minute"
    """Requests from one address without a valid token."""
    limit_login_address: Rate = "120/minute"
    """Sign-ins from one address."""
    limit_login_account: Rate = "10 per 5 minutes"
    """Failed sign-ins to one account."""
    limit_registration: Rate = "120/minute"
    """Registrations from one address."""
    shed_most_in_hand: int = Field(4096, ge=0)
    """Concurrent requests, at most; 0 disables load shedding."""
    hsts_max_age_s: int = Field(0, ge=0)
    """Above 0, browsers are told to use only HTTPS for this long; requires HTTPS in front of the gateway."""
    cors_origins: Origins = ""
    """Other sites whose scripts may call the API, separated by commas, such as `https://app.example.com`; or
    `*`."""
    cors_credentials: bool = False
    """Whether those sites may send cookies; not allowed with `*`."""

    @model_validator(mode="after")
    def _no_credentials_for_all(self) -> Self:
        if self.cors_credentials and "*" in self.cors_origins.split(","):
            raise ValueError("GATEWAY_CORS_CREDENTIALS cannot be with GATEWAY_CORS_ORIGINS=*: name the origins")
        return self
