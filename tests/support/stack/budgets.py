"""Settings for a stack whose tests are not about time limits: nothing expires or is refused on a busy machine."""

from typing import Any

UNHURRIED = {
    "GATEWAY_BUDGET_MS": "10000",
    "GATEWAY_CONNECT_TIMEOUT_S": "20",
    "GATEWAY_PASS_THROUGH_TIMEOUT_S": "30",
    "GATEWAY_READ_TIMEOUT_S": "120",
    "GATEWAY_UPLOAD_IDLE_S": "120",
    "GATEWAY_CLIENT_STALL_S": "120",
    "GATEWAY_REDIS_TIMEOUT_S": "5",
    "GATEWAY_REDIS_WRITE_TIMEOUT_S": "30",
    "GATEWAY_JWKS_TIMEOUT_S": "30",
    "GATEWAY_OPENAPI_TIMEOUT_S": "60",
    "GATEWAY_OPENAPI_RETRY_S": "0.5",
    "GATEWAY_BULKHEAD_CALLS": "1000",
    "GATEWAY_BREAKER_MIN_CALLS": "1000000",
    "GATEWAY_SHED_MOST_IN_HAND": "0",
    "GATEWAY_LIMIT_ANONYMOUS": "",
    "GATEWAY_LIMIT_LOGIN_ADDRESS": "",
    "GATEWAY_LIMIT_LOGIN_ACCOUNT": "",
    "GATEWAY_LIMIT_REGISTRATION": "",
    "GATEWAY_STREAM_SEND_TIMEOUT_S": "120",
    "USERS_HASH_QUEUE": "1000",
    "WORKER_SMTP_CONNECT_TIMEOUT_S": "60",
    "WORKER_SMTP_COMMAND_TIMEOUT_S": "60",
    "WORKER_SMTP_ANSWER_TIMEOUT_S": "120",
    "WORKER_SMTP_SEND_TIMEOUT_S": "180",
    "WORKER_MAIL_LEASE_S": "300",
    "WORKER_IMPORT_ORDERS_TIMEOUT_S": "120",
    "WORKER_IMPORT_LEASE_S": "300",
    "WORKER_WEBHOOK_CONNECT_TIMEOUT_S": "60",
    "WORKER_WEBHOOK_READ_TIMEOUT_S": "60",
    "WORKER_WEBHOOK_TOTAL_TIMEOUT_S": "120",
    "WORKER_WEBHOOK_LEASE_S": "300",
    **{f"{service}_SHUTDOWN_GRACE_S": "300" for service in ("GATEWAY", "USERS", "ORDERS", "WORKER")},
}
"""A request in hand is never cut off by a stop: the grace is far longer than any request."""

PROMPT = {
    "GATEWAY_FEED_RECONNECT_S": "0.2",
    "GATEWAY_JWKS_RETRY_S": "0.1",
    "GATEWAY_STREAM_RETRY_S": "0.5",
    "GATEWAY_WRITE_BEHIND_PAUSE_S": "0.05",
    "USERS_ARGON2_TIME_COST": "1",
    "USERS_ARGON2_MEMORY_KIB": "1024",
    "WORKER_RECONNECT_S": "0.2",
    "WORKER_REQUEUE_PAUSE_S": "0.2",
    "WORKER_SWEEP_INTERVAL_S": "0.2",
    "WORKER_WATCH_INTERVAL_S": "0.5",
}
"""Short pauses between attempts, and cheap passwords."""


def settings_of(service: str) -> dict[str, Any]:
    """What all this is for one service, by the names of its fields."""
    prefix = f"{service.upper()}_"
    named = UNHURRIED | PROMPT
    return {name.removeprefix(prefix).lower(): value for name, value in named.items() if name.startswith(prefix)}
