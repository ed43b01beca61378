"""Times and amounts of the gateway that no deployment changes. Tests pass others to `create_app`."""

from dataclasses import dataclass

from shared.http.application import MAX_BODY_BYTES


@dataclass(frozen=True, slots=True)
class Tuning:
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
    """The shortest time between two fetches caused by unknown key ids."""
    revocation_block_s: float = 5
    """How long one read of the revocations waits for the next entry; at most 60."""

    redis_timeout_s: float = 0.05
    """The maximum time that a request waits for Redis."""
    redis_write_timeout_s: float = 1
    """The timeout of one batch of last known good panels."""
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
