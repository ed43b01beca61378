"""The gateway's metrics."""

import collections
from collections.abc import Iterable, Sequence

from prometheus_client import REGISTRY, Counter, Gauge
from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from shared.observability.histogram import Histogram


class Group:
    """Labels that are always counted together: `times += 1`."""

    __slots__ = ("labels", "times")

    def __init__(self, labels: Sequence[tuple[str, ...]]) -> None:
        self.labels = labels
        self.times = 0


class Tally(Collector):
    """A counter with labels: `counts[labels] += 1`."""

    def __init__(self, name: str, documentation: str, labels: Sequence[str]) -> None:
        self._name = name
        self._documentation = documentation
        self._labels = labels
        self.counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        self._groups: list[Group] = []
        REGISTRY.register(self)

    def group(self, *labels: tuple[str, ...]) -> Group:
        """Return a counter for all of these at once, as cheap as one; at most one for each set of labels."""
        for known in self._groups:
            if known.labels == labels:
                return known
        self._groups.append(Group(labels))
        return self._groups[-1]

    def totals(self) -> collections.Counter[tuple[str, ...]]:
        """Return the counts by labels, groups included."""
        totals = collections.Counter(self.counts)
        for group in self._groups:
            for labels in group.labels:
                totals[labels] += group.times
        return totals

    def describe(self) -> Iterable[Metric]:
        return [self._family()]

    def collect(self) -> Iterable[Metric]:
        family = self._family()
        for labels, count in self.totals().items():
            family.add_metric(labels, count)
        return [family]

    def _family(self) -> CounterMetricFamily:
        return CounterMetricFamily(self._name, self._documentation, labels=self._labels)


PANELS = Tally("gateway_panels_total", "Panels by outcome.", ["panel", "status", "code"])
PANEL_SECONDS = Histogram(
    "gateway_panel_seconds",
    "Duration of a call to a service for a panel, of many users at a time, failures included.",
    ["panel"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
BATCH_SIZE = Histogram("gateway_batch_size", "Users per call.", ["panel"], buckets=(1, 2, 4, 8, 16, 32, 64, 128))
FLIGHTS_JOINED = Tally("gateway_flights_joined_total", "Panel reads that joined a read in flight.", ["panel"])
CALLS_IN_FLIGHT = Gauge("gateway_calls_in_flight", "Calls for panels in flight.", ["service"])
CONNECTIONS = Gauge(
    "gateway_connections", "Connections for panel calls, by service and state: busy, idle.", ["service", "state"]
)
CONNECTIONS_OPENED = Tally("gateway_connections_opened_total", "Connections opened for panel calls.", ["address"])
CALLS_REFUSED = Counter("gateway_calls_refused_total", "Refused calls for panels, by reason.", ["service", "code"])
REPLICAS_LEFT_OUT = Counter(
    "gateway_replicas_left_out_total",
    "Times that a replica of a service was taken out of rotation because it did not respond.",
    ["service"],
)
NOT_TRUSTED = Counter(
    "gateway_not_trusted_total",
    "Requests that a service rejected because of the gateway's own token: secrets or clocks differ.",
    ["service"],
)
BREAKER_STATE = Gauge("gateway_breaker_state", "0 closed, 1 half open, 2 open.", ["service"])
BREAKER_CHANGES = Counter("gateway_breaker_changes_total", "Transitions to a state.", ["service", "state"])
SECOND_ATTEMPTS = Counter(
    "gateway_second_attempts_total", "Second attempts, after a failure or because of slowness.", ["service", "why"]
)
CACHE_LOOKUPS = Tally("gateway_cache_lookups_total", "Panel lookups in memory.", ["panel", "outcome"])
CACHE_DROPPED = Tally(
    "gateway_cache_dropped_total", "Panels not stored in or evicted from memory, by reason.", ["reason"]
)
CACHE_BYTES = Gauge("gateway_cache_bytes", "Approximate memory of cached panels.")
CACHE_ENTRIES = Gauge("gateway_cache_entries", "Panels in memory.")
PANELS_FILE_VALID = Gauge("gateway_panels_file_valid", "0 while the panels file has changed and cannot be used.")
FEED_CONNECTED = Gauge("gateway_feed_connected", "1 while the live feed is connected, and panels are cached.")
FEED_MESSAGES = Tally("gateway_feed_messages_total", "Events and hints received from the live feed.", ["kind"])
STREAMS = Gauge("gateway_streams", "Open live streams.")
STREAM_EVENTS = Tally("gateway_stream_events_total", "Events sent to live streams.", ["kind"])
STREAMS_TOO_SLOW = Counter("gateway_streams_too_slow_total", "Live streams closed because their client did not read.")
WRITE_BEHIND_QUEUE = Gauge("gateway_write_behind_queue", "Panels waiting to be written to Redis.")
WRITE_BEHIND_LOST = Counter(
    "gateway_write_behind_lost_total", "Panels that were not written to Redis, by reason.", ["reason"]
)
RECALL_FAILURES = Counter("gateway_recall_failures_total", "Failed reads of last known good panels.")
REVOCATION_FAILURES = Counter(
    "gateway_revocation_failures_total",
    "Revocations that could not be written to or read from Redis, by operation.",
    ["operation"],
)
JWKS_FETCHED = Gauge(
    "gateway_jwks_fetched_timestamp_seconds", "Time of the last fetch of an issuer's key set; 0 before.", ["issuer"]
)
JWKS_FAILURES = Counter("gateway_jwks_failures_total", "Failed fetches of an issuer's key set.", ["issuer"])
API_KEY_LOOKUPS = Counter(
    "gateway_api_key_lookups_total",
    "Lookups of API keys at the users service, by outcome: known, unknown, failed.",
    ["outcome"],
)
LIMITED = Counter("gateway_limited_total", "Requests refused because of a rate limit.", ["policy"])
LIMITS_ALONE = Gauge("gateway_limits_alone", "1 while Redis is down and this gateway counts rate limits on its own.")
SHED = Tally("gateway_shed_total", "Shed requests.", ["kind"])
IN_HAND = Gauge("gateway_requests_in_hand", "Requests in flight, except streams and uploads.")
IN_HAND_LIMIT = Gauge("gateway_requests_in_hand_limit", "Current limit on requests in flight.")
LOOP_LAG = Gauge("gateway_loop_lag_seconds", "Event loop lag at the last sample.")
AUDIT_FAILURES = Counter(
    "gateway_audit_failures_total",
    "Operator actions that could not be recorded: changes, which were rejected, and reads, which were not.",
    ["kind"],
)
