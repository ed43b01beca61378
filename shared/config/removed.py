"""Environment variables of earlier versions: those that were renamed still work, those that were removed are ignored.

Both are named in a warning when a process starts with one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import PydanticBaseSettingsSource

from shared.config.secret_files import SUFFIX, environment

_SERVICES = ("GATEWAY", "USERS", "ORDERS", "WORKER")

RENAMED: Mapping[str, str] = {
    **{f"{service}_HOST": "LISTEN_HOST" for service in _SERVICES},
    **{f"{service}_{name}": name for service in _SERVICES for name in ("DRAIN_S", "SHUTDOWN_GRACE_S")},
    **{f"{service}_ACCESS_TOKEN_TTL_S": "ACCESS_TOKEN_TTL_S" for service in ("GATEWAY", "USERS")},
    "USERS_REFRESH_TOKEN_TTL_S": "REFRESH_TOKEN_TTL_S",
    "GATEWAY_SESSION_COOKIE_TTL_S": "REFRESH_TOKEN_TTL_S",
}
"""The current name of each. The old names work until the release after 0.2."""

REMOVED: frozenset[str] = frozenset(
    {
        "GATEWAY_BATCH_CALLS",
        "GATEWAY_BATCH_PATIENCE_S",
        "GATEWAY_BREAKER_ERROR_RATE",
        "GATEWAY_BREAKER_MIN_CALLS",
        "GATEWAY_BREAKER_OPEN_S",
        "GATEWAY_BREAKER_PROBES",
        "GATEWAY_BREAKER_SLOW_SHARE",
        "GATEWAY_BREAKER_WINDOW_S",
        "GATEWAY_CACHE_MAX_AGE_S",
        "GATEWAY_CLIENT_STALL_S",
        "GATEWAY_CONNECT_TIMEOUT_S",
        "GATEWAY_CORS_MAX_AGE_S",
        "GATEWAY_FEED_RECONNECT_S",
        "GATEWAY_HEDGE_MIN_S",
        "GATEWAY_IDLE_CONNECTIONS",
        "GATEWAY_JWKS_REFRESH_S",
        "GATEWAY_JWKS_RETRY_S",
        "GATEWAY_JWKS_TIMEOUT_S",
        "GATEWAY_JWKS_UNKNOWN_KEY_PAUSE_S",
        "GATEWAY_LAST_KNOWN_GOOD_NOTED",
        "GATEWAY_LAST_KNOWN_GOOD_REWRITE_S",
        "GATEWAY_LIMITS_REDIS_PAUSE_S",
        "GATEWAY_LIMITS_REPORT_S",
        "GATEWAY_MAX_BODY_BYTES",
        "GATEWAY_MAX_PANEL_BYTES",
        "GATEWAY_OPENAPI_MAX_BYTES",
        "GATEWAY_OPENAPI_REFRESH_S",
        "GATEWAY_OPENAPI_RETRY_S",
        "GATEWAY_OPENAPI_TIMEOUT_S",
        "GATEWAY_READ_TIMEOUT_S",
        "GATEWAY_REDIS_TIMEOUT_S",
        "GATEWAY_REDIS_WRITE_TIMEOUT_S",
        "GATEWAY_REMEMBERED_TOKENS",
        "GATEWAY_RETRY_SHARE",
        "GATEWAY_REVOCATION_BLOCK_S",
        "GATEWAY_SHED_DELAY_S",
        "GATEWAY_SHED_LAG_S",
        "GATEWAY_SHED_LATER_SHARE",
        "GATEWAY_SHED_LEAST_IN_HAND",
        "GATEWAY_SHED_RETRY_AFTER_S",
        "GATEWAY_SHED_TICK_S",
        "GATEWAY_SHED_WINDOW_S",
        "GATEWAY_STREAM_HEARTBEAT_S",
        "GATEWAY_STREAM_MOST_PER_USER",
        "GATEWAY_STREAM_READS_PER_S",
        "GATEWAY_STREAM_RECHECK_S",
        "GATEWAY_STREAM_RETRY_S",
        "GATEWAY_STREAM_SEND_TIMEOUT_S",
        "GATEWAY_STREAM_SESSION_CHECK_S",
        "GATEWAY_TOKEN_LEEWAY_S",
        "GATEWAY_UPLOAD_IDLE_S",
        "GATEWAY_UPLOAD_TIMEOUT_S",
        "GATEWAY_WATCH_CLIENT_AFTER_S",
        "GATEWAY_WRITE_BEHIND_BATCH",
        "GATEWAY_WRITE_BEHIND_PAUSE_S",
        "GATEWAY_WRITE_BEHIND_QUEUE",
        "ORDERS_DOWNLOADS_PER_USER",
        "ORDERS_DOWNLOAD_STALL_S",
        "ORDERS_DOWNLOAD_TIMEOUT_S",
        "ORDERS_IDLE_TRANSACTION_TIMEOUT_S",
        "ORDERS_LOCK_TIMEOUT_S",
        "ORDERS_MAX_BODY_BYTES",
        "ORDERS_STATEMENT_TIMEOUT_S",
        "SECRET_FILES_POLL_S",
        "USERS_ARGON2_MEMORY_KIB",
        "USERS_ARGON2_PARALLELISM",
        "USERS_ARGON2_TIME_COST",
        "USERS_HASH_QUEUE",
        "USERS_IDLE_TRANSACTION_TIMEOUT_S",
        "USERS_LOCK_TIMEOUT_S",
        "USERS_MAX_BODY_BYTES",
        "USERS_PICTURE_QUEUE",
        "USERS_STATEMENT_TIMEOUT_S",
        "WORKER_DOWNLOADS_PER_USER",
        "WORKER_DOWNLOAD_STALL_S",
        "WORKER_DOWNLOAD_TIMEOUT_S",
        "WORKER_HOLD_S",
        "WORKER_IDLE_TRANSACTION_TIMEOUT_S",
        "WORKER_IMPORT_LEASE_S",
        "WORKER_IMPORT_MAX_ERRORS",
        "WORKER_IMPORT_ORDERS_TIMEOUT_S",
        "WORKER_IMPORT_PER_USER_LIMIT",
        "WORKER_IMPORT_WINDOW",
        "WORKER_LOCK_TIMEOUT_S",
        "WORKER_MAIL_LEASE_S",
        "WORKER_MAX_BODY_BYTES",
        "WORKER_PURGE_INTERVAL_S",
        "WORKER_RECONNECT_S",
        "WORKER_REQUEUE_PAUSE_S",
        "WORKER_SMTP_ANSWER_TIMEOUT_S",
        "WORKER_SMTP_COMMAND_TIMEOUT_S",
        "WORKER_SMTP_CONNECT_TIMEOUT_S",
        "WORKER_SMTP_IDLE_S",
        "WORKER_SMTP_SEND_TIMEOUT_S",
        "WORKER_STALL_S",
        "WORKER_STATEMENT_TIMEOUT_S",
        "WORKER_STUCK_AFTER_S",
        "WORKER_SWEEP_INTERVAL_S",
        "WORKER_WATCH_INTERVAL_S",
        "WORKER_WEBHOOK_ANSWER_BYTES",
        "WORKER_WEBHOOK_ATTEMPTS",
        "WORKER_WEBHOOK_BACKOFF_BASE_S",
        "WORKER_WEBHOOK_BACKOFF_CAP_S",
        "WORKER_WEBHOOK_CALLS_PER_HOST",
        "WORKER_WEBHOOK_CALLS_PER_USER",
        "WORKER_WEBHOOK_CONNECT_TIMEOUT_S",
        "WORKER_WEBHOOK_DISABLE_AFTER_DAYS",
        "WORKER_WEBHOOK_KEEP_DELIVERIES_S",
        "WORKER_WEBHOOK_LEASE_S",
        "WORKER_WEBHOOK_OLD_SECRET_S",
        "WORKER_WEBHOOK_PER_USER_LIMIT",
        "WORKER_WEBHOOK_RATE_PER_HOST",
        "WORKER_WEBHOOK_READ_TIMEOUT_S",
        "WORKER_WEBHOOK_RETRY_AFTER_MAX_S",
        "WORKER_WEBHOOK_TOTAL_TIMEOUT_S",
    }
)
"""Their values are constants now."""


class RenamedSource(PydanticBaseSettingsSource):
    """Read a setting from the variable that one service used for it in earlier versions."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        alias = str(field.validation_alias or field_name)
        prefix = self.settings_cls.model_config.get("env_prefix", "")
        old = (name for name, new in RENAMED.items() if new == alias and prefix and name.startswith(prefix))
        return next((value for name in old if (value := environment(name)) is not None), None), alias, False

    def __call__(self) -> dict[str, Any]:
        found = (self.get_field_value(field, name) for name, field in self.settings_cls.model_fields.items())
        return {key: value for value, key, _ in found if value is not None}


def set_in(variables: Mapping[str, str], service: str) -> Iterator[str]:
    """Return the variables of earlier versions, or of their files, that are set for this service or for all of them."""
    others = tuple(f"{name}_" for name in _SERVICES if name != service.upper())
    for name in sorted(variables):
        known = name.removesuffix(SUFFIX)
        if (known in REMOVED or known in RENAMED) and not name.startswith(others):
            yield name
