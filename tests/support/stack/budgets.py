"""Settings and tuning for a stack whose tests are not about time limits: nothing expires or is refused on a busy
machine, pauses between attempts are short, and passwords are cheap."""

from collections.abc import Mapping
from typing import Any

UNHURRIED = {
    "GATEWAY_BUDGET_MS": "10000",
    "GATEWAY_PASS_THROUGH_TIMEOUT_S": "30",
    "GATEWAY_BULKHEAD_CALLS": "1000",
    "GATEWAY_SHED_MOST_IN_HAND": "0",
    "GATEWAY_LIMIT_ANONYMOUS": "",
    "GATEWAY_LIMIT_LOGIN_ADDRESS": "",
    "GATEWAY_LIMIT_LOGIN_ACCOUNT": "",
    "GATEWAY_LIMIT_REGISTRATION": "",
    "SHUTDOWN_GRACE_S": "300",
}
"""The environment. A stop never aborts a request in flight, because the grace period is longer than any request."""

TUNING: Mapping[str, Mapping[str, Any]] = {
    "gateway": {
        "connect_timeout_s": 20,
        "read_timeout_s": 120,
        "upload_idle_s": 120,
        "client_stall_s": 120,
        "redis_timeout_s": 5,
        "redis_write_timeout_s": 30,
        "jwks_timeout_s": 30,
        "openapi_timeout_s": 60,
        "openapi_retry_s": 0.5,
        "breaker_min_calls": 1_000_000,
        "stream_send_timeout_s": 120,
        "feed_reconnect_s": 0.2,
        "jwks_retry_s": 0.1,
        "stream_retry_s": 0.5,
        "write_behind_pause_s": 0.05,
    },
    "users": {"hash_queue": 1000, "argon2_time_cost": 1, "argon2_memory_kib": 1024},
    "orders": {},
    "worker": {
        "smtp_connect_timeout_s": 60,
        "smtp_command_timeout_s": 60,
        "smtp_answer_timeout_s": 120,
        "smtp_send_timeout_s": 180,
        "mail_lease_s": 300,
        "import_orders_timeout_s": 120,
        "import_lease_s": 300,
        "webhook_connect_timeout_s": 60,
        "webhook_read_timeout_s": 60,
        "webhook_total_timeout_s": 120,
        "webhook_lease_s": 300,
        "reconnect_s": 0.2,
        "requeue_pause_s": 0.2,
        "sweep_interval_s": 0.2,
        "watch_interval_s": 0.5,
    },
}
"""The arguments of each service's `Tuning`."""


def settings_of(service: str) -> dict[str, Any]:
    """Return the settings of one service, by the names of its fields."""
    prefix = f"{service.upper()}_"
    own = {name.removeprefix(prefix).lower(): value for name, value in UNHURRIED.items() if name.startswith(prefix)}
    return own | {"shutdown_grace_s": UNHURRIED["SHUTDOWN_GRACE_S"]}
