"""The gateway's settings: `GATEWAY_…`; and its tuning, the times and amounts that no deployment changes."""

from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import limits
from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from services.gateway.trusted_issuers import TrustedIssuer, trusted_issuers
from shared.config.settings import Port, ServiceSettings
from shared.http.application import MAX_BODY_BYTES

PANELS_FILE = Path(__file__).parent / "panels.toml"


def _base_urls(value: str) -> str:
    urls = [url.strip() for url in value.split(",")]
    if not all(url.startswith(("http://", "https://")) for url in urls):
        raise ValueError("must be http(s) base URLs, separated by commas")
    return ",".join(url.rstrip("/") for url in urls)


BaseUrls = Annotated[str, AfterValidator(_base_urls)]
"""One or several comma-separated base URLs: the replicas of a service, used in turn."""


def _urls_or_none(value: str) -> str:
    return _base_urls(value) if value.strip() else ""


def _issuers(value: str) -> str:
    trusted_issuers(value)
    return value


def _networks(value: str) -> str:
    for each in filter(None, map(str.strip, value.split(","))):
        ip_network(each)
    return value


def _rate(value: str) -> str:
    if value.strip():
        limits.parse(value)
    return value


def _origins(value: str) -> str:
    origins = [each.strip() for each in value.split(",") if each.strip()]
    for each in origins:
        parts = urlsplit(each)
        if each != "*" and (parts.scheme not in ("http", "https") or each != f"{parts.scheme}://{parts.netloc}"):
            raise ValueError("must be origins such as https://app.example.com, separated by commas, or *")
    return ",".join(origins)


KeyUrls = Annotated[str, AfterValidator(_urls_or_none)]
Issuers = Annotated[str, AfterValidator(_issuers)]
Networks = Annotated[str, AfterValidator(_networks)]
Rate = Annotated[str, AfterValidator(_rate)]
Origins = Annotated[str, AfterValidator(_origins)]


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="GATEWAY_")

    internal_port: Port = 9000
    """The port of metrics and probes, which is not published."""

    panels_file: str = ""
    """The file that declares services, panels and passed-through routes (docs/panels.md), which is reloaded when it
    changes. If empty, the one that comes with the gateway. `GATEWAY_<SERVICE>_URL` replaces a URL in it."""
    jwks_url: KeyUrls = "http://127.0.0.1:8001/.well-known/jwks.json"
    """The keys for verifying user tokens; of several URLs, the next is tried if one fails. Empty if this system has no
    accounts of its own."""
    issuers: Issuers = ""
    """Other issuers whose tokens are accepted: a JSON list, which docs/security.md describes."""
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
    upload_max_bytes: int = Field(1024**3 + 1024**2, gt=0, validation_alias="UPLOAD_MAX_BYTES")
    """The largest upload, such as a file to import; a larger one is answered 413."""

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
    """Failed sign-ins to one account, and, counted separately, requested password resets."""
    limit_registration: Rate = "120/minute"
    """Registrations from one address, and, counted separately, password resets and verifications of addresses."""
    shed_most_in_hand: int = Field(4096, ge=0)
    """Concurrent requests, at most; 0 disables load shedding."""
    hsts_max_age_s: int = Field(0, ge=0)
    """Above 0, browsers are told to use only HTTPS for this long; requires HTTPS in front of the gateway."""
    cors_origins: Origins = ""
    """Other sites whose scripts may call the API, separated by commas, such as `https://app.example.com`; or
    `*`."""
    cors_credentials: bool = False
    """Whether those sites may send cookies; not allowed with `*`."""

    @property
    def trusted_issuers(self) -> list[TrustedIssuer]:
        return trusted_issuers(self.issuers)

    @model_validator(mode="after")
    def _some_issuer(self) -> Self:
        if not self.jwks_url and not self.trusted_issuers:
            raise ValueError("GATEWAY_JWKS_URL and GATEWAY_ISSUERS are both empty: no token could be verified")
        return self

    @property
    def panels_path(self) -> Path:
        return Path(self.panels_file) if self.panels_file else PANELS_FILE

    @model_validator(mode="after")
    def _no_credentials_for_all(self) -> Self:
        if self.cors_credentials and "*" in self.cors_origins.split(","):
            raise ValueError("GATEWAY_CORS_CREDENTIALS cannot be with GATEWAY_CORS_ORIGINS=*: name the origins")
        return self


@dataclass(frozen=True, slots=True)
class Tuning:
    """Tests pass others to `create_app`."""

    max_body_bytes: int = MAX_BODY_BYTES
    """The largest request body of an ordinary route."""
    feed_reconnect_s: float = 1
    """The pause after the live feed was disconnected."""
    cache_max_age_s: float = 30
    """How long a cached panel is fresh if no change of it was announced."""

    connect_timeout_s: float = 0.5
    """The timeout for connecting to a service."""
    read_timeout_s: float = 30
    """The longest time without data in a passed-through response."""
    upload_idle_s: float = 15
    """The longest time without data in an upload."""
    client_stall_s: float = 30
    """How long a client may take for the next piece of a response (up to 256 KB) before it is cut off."""

    batch_calls: int = 2
    """Concurrent calls to one service before further reads are batched."""
    batch_patience_s: float = 0.05
    """A call that takes longer no longer delays the next."""
    breaker_min_calls: int = 10
    """With fewer calls in the window the circuit stays closed. This many failures in a row open it."""
    breaker_open_s: float = 2
    """How long calls are suspended once the circuit is open."""
    breaker_probes: int = 3
    """Calls let through after that; all must succeed to close the circuit."""
    hedge_min_s: float = 0.01
    """No hedged attempt before this, however fast 95 % of the calls are."""
    retry_share: float = 0.1
    """Second attempts, hedged or after a failure, are at most this share of the calls."""
    watch_client_after_s: float = 0.05
    """A dashboard that takes longer is cancelled when its client disconnects."""

    stream_max_per_user: int = 8
    """Live streams that one user may have open at this gateway."""
    stream_heartbeat_s: float = 15
    """The longest time without data on a live stream."""
    stream_send_timeout_s: float = 20
    """A client that does not receive what was sent within this time loses its stream."""
    stream_reads_per_s: int = 5
    """Panels read per second for one user's streams, however often they change."""
    stream_retry_s: float = 2
    """When a panel that is not fresh is read again, while a stream shows it."""
    stream_recheck_s: float = 30
    """When every panel of a live stream is read again, whether or not a change was announced."""
    stream_session_check_s: float = 1
    """How soon a live stream notices that its session has ended or its token expired."""

    jwks_refresh_s: float = 300
    """How often the keys are fetched."""
    jwks_retry_s: float = 1
    """The pause after a failed fetch of the keys."""
    jwks_timeout_s: float = 2
    """The timeout of one fetch of the keys."""
    jwks_unknown_key_pause_s: float = 10
    """The shortest time between two fetches caused by tokens whose key is not known."""
    issuer_timeout_s: float = 5
    """The timeout of one fetch of another issuer's keys, with the discovery of their URL."""
    issuer_retry_max_s: float = 30
    """The longest pause after a failed fetch of another issuer's keys; the first is `jwks_retry_s`, then it doubles."""
    api_key_timeout_s: float = 2
    """The timeout of one lookup of an API key."""
    revocation_block_s: float = 5
    """How long one read of the revocations waits for the next entry; at most 60."""

    redis_timeout_s: float = 0.05
    """The maximum time that a request waits for Redis."""
    redis_write_timeout_s: float = 1
    """The timeout of one batch of last known good panels."""
    redis_retry_s: float = 1
    """The pause after a batch could not be written, or revocations could not be read."""
    last_known_good_rewrite_s: float = 30
    """A panel that has not changed is not written again within this time."""
    write_behind_pause_s: float = 0.5
    """How long writes are collected before they go to Redis together, unless the queue fills up."""

    limits_report_s: float = 1
    """How often reads, which are counted in memory, are reported to Redis."""
    limits_redis_pause_s: float = 1
    """How long rate limits do not call Redis after it has not responded."""
    shed_min_in_flight: int = 128
    """Requests that are admitted however late the event loop is."""
    shed_lag_s: float = 0.005
    """The event loop counts as late if its own work delays it by more than this."""

    openapi_refresh_s: float = 300
    """How long the services' OpenAPI documents are kept."""
    openapi_retry_s: float = 10
    """The pause after a service's document could not be fetched."""
    openapi_timeout_s: float = 5
    """The timeout of one document."""


DEFAULTS = Tuning()
