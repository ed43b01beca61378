"""The gateway's settings: `GATEWAY_…`."""

from ipaddress import ip_network
from typing import Annotated, Self
from urllib.parse import urlsplit

import limits
from pydantic import AfterValidator, Field, model_validator
from pydantic_settings import SettingsConfigDict

from shared.config.settings import Port, ServiceSettings
from shared.http.tokens import CLOCK_SKEW_S


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
    """The port of metrics and probes; internal."""

    users_url: BaseUrls = "http://127.0.0.1:8001"
    """The users service; several base URLs, separated by commas, are used in turn."""
    orders_url: BaseUrls = "http://127.0.0.1:8002"
    """The orders service, likewise."""
    worker_url: BaseUrls = "http://127.0.0.1:8003"
    """The worker, likewise."""
    jwks_url: BaseUrls = "http://127.0.0.1:8001/.well-known/jwks.json"
    """The keys for verifying user tokens; of several URLs, the next is tried if one fails."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Last known good panels, ended sessions and rate limits; without it the gateway works, but shows no stale
    panels."""
    rabbitmq_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    """The live feed; without it the gateway works, but caches no panels."""
    feed_reconnect_s: float = Field(1, gt=0)
    """The pause after the live feed was disconnected."""
    cache_max_bytes: int = Field(64 * 1024 * 1024, ge=0)
    """Memory for cached panels; 0 disables the cache."""
    cache_max_age_s: float = Field(30, ge=0)
    """How long a panel without changes is served from memory."""

    budget_ms: int = Field(1000, ge=10, le=10_000)
    """The default time budget of a dashboard."""
    connect_timeout_s: float = Field(0.5, gt=0)
    """The timeout for connecting to a service."""
    read_timeout_s: float = Field(30, gt=0)
    """The longest time without data in a passed-through response."""
    pass_through_timeout_s: float = Field(15, gt=0, le=30)
    """From the first byte of a request to the head of its response, the upload included."""
    upload_max_bytes: int = Field(1024**3 + 1024**2, gt=0)
    """The largest request body of an upload route; the service behind it may accept less."""
    upload_timeout_s: float = Field(900, gt=0)
    """From the first byte of an upload to the head of its response."""
    upload_idle_s: float = Field(15, gt=0)
    """The longest time without data in an upload."""
    client_stall_s: float = Field(30, gt=0)
    """How long a client may take for the next piece of a response (up to 256 KB) before it is cut off."""
    idle_connections: int = Field(100, ge=1)
    """Connections kept open to each service."""
    max_panel_bytes: int = Field(1024 * 1024, gt=0)
    """A larger panel of one user counts as an invalid response."""

    batch_calls: int = Field(2, ge=1)
    """Calls in flight to one service before further reads are batched."""
    batch_patience_s: float = Field(0.05, gt=0)
    """A call that takes longer no longer delays the next."""
    bulkhead_calls: int = Field(32, ge=1)
    """Concurrent calls for panels to one service; more are `overloaded`."""
    breaker_window_s: float = Field(10, gt=0)
    """The window, in seconds, whose calls decide whether a service is called."""
    breaker_min_calls: int = Field(10, ge=1)
    """With fewer calls in the window a service is always called."""
    breaker_error_rate: float = Field(0.5, gt=0, le=1)
    """The breaker opens if this share of the window's calls failed, or `GATEWAY_BREAKER_MIN_CALLS` in a row."""
    breaker_open_s: float = Field(2, gt=0)
    """How long calls are suspended before probes are sent."""
    breaker_probes: int = Field(3, ge=1)
    """The number of probes, all of which must succeed."""
    breaker_slow_share: float = Field(0.75, gt=0)
    """A call that takes more than this share of its panel's timeout counts as failed."""
    hedge_min_s: float = Field(0.01, gt=0)
    """The minimum delay before a second attempt because of slowness, however fast 95 % of the calls are."""
    retry_share: float = Field(0.1, ge=0, le=1)
    """The maximum share of calls that may be second attempts, for slowness or after a failure."""
    watch_client_after_s: float = Field(0.05, gt=0)
    """A dashboard that takes longer is abandoned when its client disconnects."""

    secure_cookies: bool = False
    """Whether the page's cookie is sent only over HTTPS; requires HTTPS in front of the gateway."""
    session_cookie_ttl_s: int = Field(2_592_000, gt=0)
    """How long a browser keeps the page's cookie; after this time without use, the session behind it has ended, too."""

    stream_most_per_user: int = Field(8, ge=1)
    """Live streams that one user may have open at this gateway."""
    stream_heartbeat_s: float = Field(15, gt=0)
    """The longest time without data on a live stream."""
    stream_send_timeout_s: float = Field(20, gt=0)
    """A client that has not read for this long loses its stream."""
    stream_reads_per_s: int = Field(5, ge=1)
    """Maximum panel reads per second for one user's streams, however often the panels change."""
    stream_retry_s: float = Field(2, gt=0)
    """A panel that is not fresh is read again after this time, while a stream shows it."""
    stream_recheck_s: float = Field(30, gt=0)
    """Every panel of a live stream is read again after this time, with or without a change."""
    stream_session_check_s: float = Field(1, gt=0)
    """How soon a live stream notices that its session has ended or its token has expired."""

    jwks_refresh_s: float = Field(300, gt=0)
    """How often the keys are fetched again."""
    jwks_retry_s: float = Field(1, gt=0)
    """The pause after a failed fetch of the keys."""
    jwks_timeout_s: float = Field(2, gt=0)
    """The timeout of one fetch of the keys."""
    jwks_unknown_key_pause_s: float = Field(10, ge=0)
    """The minimum time between two fetches because of unknown key ids."""
    token_leeway_s: float = Field(CLOCK_SKEW_S, ge=0)
    """How far the clocks of the gateway and the users service may differ."""
    remembered_tokens: int = Field(10_000, ge=0)
    """The number of verified tokens that are remembered."""
    access_token_ttl_s: int = Field(900, gt=0)
    """The maximum lifetime of access tokens: revocations are remembered for this long."""
    revocation_block_s: float = Field(5, gt=0, le=60)
    """How long one read of the revocations waits for the next entry."""

    redis_timeout_s: float = Field(0.05, gt=0)
    """The maximum time that a request waits for Redis."""
    redis_write_timeout_s: float = Field(1, gt=0)
    """The timeout of one batch of last known good panels."""
    last_known_good_max_age_s: int = Field(86_400, gt=0)
    """Older panels are not shown, not even as stale."""
    last_known_good_rewrite_s: float = Field(30, ge=0)
    """An unchanged panel is not written again within this time."""
    last_known_good_noted: int = Field(50_000, ge=0)
    """The number of panels whose last written version is remembered."""
    write_behind_queue: int = Field(10_000, ge=1)
    """Panels that may wait to be written to Redis; the oldest are dropped."""
    write_behind_batch: int = Field(20, ge=1)
    """Panels per write."""
    write_behind_pause_s: float = Field(0.5, ge=0)
    """How long writes are collected before they are sent to Redis, unless the queue fills up."""

    trusted_proxies: Networks = ""
    """Comma-separated networks (CIDR) of the proxies in front: `X-Forwarded-For` is trusted only from these."""
    trace_trusted: Networks = ""
    """Comma-separated networks (CIDR) of clients whose `traceparent` decides whether a trace is recorded."""
    limit_read: Rate = "12000/minute"
    """Reads of one user. `10/minute`, `20 per 5 minutes` ...; empty disables the limit, here and below."""
    limit_write: Rate = "3000/minute"
    """Changes by one user."""
    limit_upload: Rate = "120/minute"
    """Uploads of one user."""
    limit_batch: Rate = "600/minute"
    """Batch dashboard requests of one user."""
    limit_stream: Rate = "600/minute"
    """Downloads and live streams started by one user."""
    limit_anonymous: Rate = "6000/minute"
    """Requests from one address without a known user, including those with an invalid token."""
    limit_login_address: Rate = "120/minute"
    """Sign-ins from one address."""
    limit_login_account: Rate = "10 per 5 minutes"
    """Failed sign-ins to one account."""
    limit_registration: Rate = "120/minute"
    """Registrations from one address."""
    limits_report_s: float = Field(1, gt=0)
    """How often the in-memory counts of reads are reported to Redis."""
    limits_redis_pause_s: float = Field(1, gt=0)
    """How long rate limits do not call Redis after it has not responded."""
    shed_most_in_hand: int = Field(4096, ge=0)
    """Maximum requests in flight; 0 disables load shedding."""
    shed_least_in_hand: int = Field(128, ge=1)
    """The minimum limit, however late the event loop is."""
    shed_delay_s: float = Field(0.25, gt=0)
    """While the loop is late, only as many requests are admitted as can be completed in this time, a part of
    `GATEWAY_BUDGET_MS`."""
    shed_lag_s: float = Field(0.005, gt=0)
    """The event loop counts as late if its own work delays it by more than this."""
    shed_tick_s: float = Field(0.01, gt=0)
    """How often the lag is sampled."""
    shed_window_s: float = Field(0.2, gt=0)
    """How often the cost of a request is recomputed."""
    shed_later_share: float = Field(0.5, gt=0, le=1)
    """Batches, uploads and downloads are refused from this share of the limit on."""
    shed_retry_after_s: int = Field(2, ge=1)
    """`Retry-After` of refused requests."""
    hsts_max_age_s: int = Field(0, ge=0)
    """Above 0, browsers are told to use only HTTPS for this time. Requires HTTPS in front of the gateway."""
    cors_origins: Origins = ""
    """Other sites whose scripts may call the API, separated by commas, such as `https://app.example.com`; or `*`."""
    cors_credentials: bool = False
    """Whether these may send cookies; never with `*`."""
    cors_max_age_s: int = Field(600, ge=0)
    """How long a browser caches the permissions."""

    openapi_refresh_s: float = Field(300, gt=0)
    """How long the services' OpenAPI documents are cached."""
    openapi_retry_s: float = Field(10, gt=0)
    """The pause after a failed fetch of an OpenAPI document."""
    openapi_timeout_s: float = Field(5, gt=0)
    """The timeout of one OpenAPI document."""
    openapi_max_bytes: int = Field(4 * 1024 * 1024, gt=0)
    """A larger OpenAPI document is rejected."""

    @model_validator(mode="after")
    def _no_credentials_for_all(self) -> Self:
        if self.cors_credentials and "*" in self.cors_origins.split(","):
            raise ValueError("GATEWAY_CORS_CREDENTIALS cannot be with GATEWAY_CORS_ORIGINS=*: name the origins")
        return self
