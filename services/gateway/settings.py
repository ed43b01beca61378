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
"""One base URL or several, separated by commas: the replicas of a service, asked in turn."""


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
    """Metrics and probes, for the cluster alone."""

    users_url: BaseUrls = "http://127.0.0.1:8001"
    """The users service; several base URLs, separated by commas, are asked in turn."""
    orders_url: BaseUrls = "http://127.0.0.1:8002"
    """The orders service, likewise."""
    worker_url: BaseUrls = "http://127.0.0.1:8003"
    """The worker, likewise."""
    jwks_url: BaseUrls = "http://127.0.0.1:8001/.well-known/jwks.json"
    """The keys that user tokens are verified with; of several URLs, the next is tried when one fails."""
    redis_url: str = "redis://127.0.0.1:6379/0"
    """Last known good panels, ended sessions and rate limits; without it the gateway works, and shows nothing stale."""
    rabbitmq_url: str = "amqp://guest:guest@127.0.0.1:5672/"
    """The live feed; without it the gateway works, and keeps no panels in memory."""
    feed_reconnect_s: float = Field(1, gt=0)
    """The pause after the live feed was lost."""
    cache_max_bytes: int = Field(64 * 1024 * 1024, ge=0)
    """Memory for panels; 0 keeps none."""
    cache_max_age_s: float = Field(30, ge=0)
    """How long a panel of which no change was heard is taken as it is."""

    budget_ms: int = Field(1000, ge=10, le=10_000)
    """How long a dashboard may take when its caller does not say."""
    connect_timeout_s: float = Field(0.5, gt=0)
    """For one connection to a service."""
    read_timeout_s: float = Field(30, gt=0)
    """The longest silence within a response that is passed through."""
    pass_through_timeout_s: float = Field(15, gt=0, le=30)
    """From the first byte of a request to the head of its response, the upload included."""
    upload_max_bytes: int = Field(1024**3 + 1024**2, gt=0)
    """The largest request body of a route that takes uploads; the service behind it may take less."""
    upload_timeout_s: float = Field(900, gt=0)
    """From the first byte of an upload to the head of its response."""
    upload_idle_s: float = Field(15, gt=0)
    """The longest silence within an upload."""
    client_stall_s: float = Field(30, gt=0)
    """How long a client may take for the next piece of a response (up to 256 KB) before it is cut off."""
    idle_connections: int = Field(100, ge=1)
    """Connections kept open to each service."""
    max_panel_bytes: int = Field(1024 * 1024, gt=0)
    """A larger panel of one user counts as a bad answer."""

    batch_calls: int = Field(2, ge=1)
    """Calls to one service that are under way before others wait to leave together."""
    batch_patience_s: float = Field(0.05, gt=0)
    """A call that takes longer holds the next back no more."""
    bulkhead_calls: int = Field(32, ge=1)
    """Calls for panels to one service at the same time; more are `overloaded`."""
    breaker_window_s: float = Field(10, gt=0)
    """The calls of so many seconds decide whether a service is asked."""
    breaker_min_calls: int = Field(10, ge=1)
    """With fewer calls in the window a service always is asked."""
    breaker_error_rate: float = Field(0.5, gt=0, le=1)
    """A service of which this part of the window's calls failed, or so many in a row as `GATEWAY_BREAKER_MIN_CALLS`, is
    not asked."""
    breaker_open_s: float = Field(2, gt=0)
    """For so long it is left alone."""
    breaker_probes: int = Field(3, ge=1)
    """Then so many calls go through, and all must succeed."""
    breaker_slow_share: float = Field(0.75, gt=0)
    """A call that takes more than this part of its panel's timeout counts as failed."""
    hedge_min_s: float = Field(0.01, gt=0)
    """No second attempt for slowness before this, however fast 95 % of the calls are."""
    retry_share: float = Field(0.1, ge=0, le=1)
    """Second attempts, for slowness or after a failure, are at most this part of the calls."""
    watch_client_after_s: float = Field(0.05, gt=0)
    """A dashboard that takes longer is given up when its client leaves."""

    secure_cookies: bool = False
    """Whether the page's cookie goes over HTTPS alone; needs HTTPS in front of the gateway."""
    session_cookie_ttl_s: int = Field(2_592_000, gt=0)
    """How long a browser keeps the page's cookie; after so long without use, the session behind it has ended, too."""

    stream_most_per_user: int = Field(8, ge=1)
    """Live streams that one user may have open at this gateway."""
    stream_heartbeat_s: float = Field(15, gt=0)
    """The longest silence on a live stream."""
    stream_send_timeout_s: float = Field(20, gt=0)
    """A client that has not received what was sent for so long loses its stream."""
    stream_reads_per_s: int = Field(5, ge=1)
    """Panels read a second for one user's streams, however often they change."""
    stream_retry_s: float = Field(2, gt=0)
    """A panel that is not fresh is read again after that, while somebody looks at it."""
    stream_recheck_s: float = Field(30, gt=0)
    """Every panel of a live stream is read again after that, whether somebody spoke of a change or not."""
    stream_session_check_s: float = Field(1, gt=0)
    """How soon a live stream notices that its session has ended, or its token expired."""

    jwks_refresh_s: float = Field(300, gt=0)
    """How often the keys are fetched again."""
    jwks_retry_s: float = Field(1, gt=0)
    """The pause after a fetch of the keys that failed."""
    jwks_timeout_s: float = Field(2, gt=0)
    """For one fetch of the keys."""
    jwks_unknown_key_pause_s: float = Field(10, ge=0)
    """The least time between two fetches that unknown key ids cause."""
    token_leeway_s: float = Field(CLOCK_SKEW_S, ge=0)
    """How far the clocks of the gateway and the users service may differ."""
    remembered_tokens: int = Field(10_000, ge=0)
    """Verified tokens that are not verified again."""
    access_token_ttl_s: int = Field(900, gt=0)
    """How long access tokens live at most: that long a revocation is remembered."""
    revocation_block_s: float = Field(5, gt=0, le=60)
    """How long one read of the revocations waits for the next before it asks anew."""

    redis_timeout_s: float = Field(0.05, gt=0)
    """The most that a request waits for Redis."""
    redis_write_timeout_s: float = Field(1, gt=0)
    """For one batch of last known good panels."""
    last_known_good_max_age_s: int = Field(86_400, gt=0)
    """Older panels are not shown, not even as stale."""
    last_known_good_rewrite_s: float = Field(30, ge=0)
    """A panel that has not changed is not written again so soon."""
    last_known_good_noted: int = Field(50_000, ge=0)
    """Panels of which is noted what was written last."""
    write_behind_queue: int = Field(10_000, ge=1)
    """Panels that may wait to be written to Redis; the oldest are dropped."""
    write_behind_batch: int = Field(20, ge=1)
    """Panels that are written at once."""
    write_behind_pause_s: float = Field(0.5, ge=0)
    """How long writes gather before they go to Redis together, unless the queue fills up."""

    trusted_proxies: Networks = ""
    """Networks (CIDR) of the proxies in front, separated by commas: only behind these counts `X-Forwarded-For`."""
    trace_trusted: Networks = ""
    """Networks (CIDR) of clients, separated by commas, whose `traceparent` decides whether a trace is recorded."""
    limit_read: Rate = "12000/minute"
    """Reads of one user. `10/minute`, `20 per 5 minutes` ...; empty is without limit, here and below."""
    limit_write: Rate = "3000/minute"
    """Changes by one user."""
    limit_upload: Rate = "120/minute"
    """Uploads of one user."""
    limit_batch: Rate = "600/minute"
    """Requests for many dashboards by one user."""
    limit_stream: Rate = "600/minute"
    """Downloads and live streams begun by one user."""
    limit_anonymous: Rate = "6000/minute"
    """Requests from one address whose user is not known, those with a bad token included."""
    limit_login_address: Rate = "120/minute"
    """Logins from one address."""
    limit_login_account: Rate = "10 per 5 minutes"
    """Failed logins to one account."""
    limit_registration: Rate = "120/minute"
    """Registrations from one address."""
    limits_report_s: float = Field(1, gt=0)
    """How often reads, which are counted in memory, are told to Redis."""
    limits_redis_pause_s: float = Field(1, gt=0)
    """How long Redis is left alone by limits after it has not answered."""
    shed_most_in_hand: int = Field(4096, ge=0)
    """Requests at once, at most; 0 sheds none."""
    shed_least_in_hand: int = Field(128, ge=1)
    """However late the event loop is, so many are let in."""
    shed_delay_s: float = Field(0.25, gt=0)
    """While the loop is late, no more is let in than can be worked off in that time, a part of `GATEWAY_BUDGET_MS`."""
    shed_lag_s: float = Field(0.005, gt=0)
    """An event loop that its own work makes later than this is late."""
    shed_tick_s: float = Field(0.01, gt=0)
    """How often that is looked at."""
    shed_window_s: float = Field(0.2, gt=0)
    """How often it is reckoned anew what a request costs."""
    shed_later_share: float = Field(0.5, gt=0, le=1)
    """Batches, uploads and downloads are refused from this part of what is allowed on."""
    shed_retry_after_s: int = Field(2, ge=1)
    """What those are told who are refused."""
    hsts_max_age_s: int = Field(0, ge=0)
    """Above 0: browsers are told to use HTTPS alone for so long. Only with HTTPS in front of the gateway."""
    cors_origins: Origins = ""
    """Other sites whose scripts may call the API, separated by commas, such as `https://app.example.com`; or `*`."""
    cors_credentials: bool = False
    """Whether these may send cookies; never with `*`."""
    cors_max_age_s: int = Field(600, ge=0)
    """How long a browser remembers what it was allowed."""

    openapi_refresh_s: float = Field(300, gt=0)
    """How long the services' descriptions of their routes are kept."""
    openapi_retry_s: float = Field(10, gt=0)
    """The pause after a service did not describe itself."""
    openapi_timeout_s: float = Field(5, gt=0)
    """For one description."""
    openapi_max_bytes: int = Field(4 * 1024 * 1024, gt=0)
    """A larger description is not taken."""

    @model_validator(mode="after")
    def _no_credentials_for_all(self) -> Self:
        if self.cors_credentials and "*" in self.cors_origins.split(","):
            raise ValueError("GATEWAY_CORS_CREDENTIALS cannot be with GATEWAY_CORS_ORIGINS=*: name the origins")
        return self
