"""The small decisions of webhooks: signatures, secrets, answers, settings."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any, get_args

import pytest
from pydantic import SecretStr, ValidationError
from standardwebhooks import Webhook as Verifier

from services.worker.ledger.job import Policy
from services.worker.webhooks import calls, signing
from services.worker.webhooks.schemas import EventName
from services.worker.webhooks.settings import WebhookSettings, WebhookTuning
from services.worker.webhooks.signing import SecretBox, SecretUnreadable
from shared.contracts import topology

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
KEYS = ("a" * 32, "b" * 32)


def settings(**more: Any) -> WebhookSettings:
    given: dict[str, Any] = {"environment": "production", "webhook_secret_keys": SecretStr(KEYS[0])} | more
    secret = SecretStr("a secret that only these tests know")
    return WebhookSettings(internal_token_secret=secret, **given)


def test_the_specifications_own_example() -> None:
    """The signature is the one that the Standard Webhooks library's tests expect."""
    secret, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
    signed = signing.sign(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_two_secrets_sign_while_one_is_replaced() -> None:
    """Whoever still has the old one can verify, and so can who has the new one."""
    new, old = signing.new_secret(), signing.new_secret()
    now = int(datetime.now(UTC).timestamp())
    headers = signing.headers([new, old], "id", now, b'{"a":1}')
    for secret in (new, old):
        assert Verifier(secret).verify(b'{"a":1}', headers) == {"a": 1}
    assert len(base64.b64decode(new.removeprefix("whsec_"))) == 32


def test_secrets_survive_a_change_of_keys() -> None:
    """What an old key encrypted is read as long as that is listed; nothing is kept in the clear."""
    kept = SecretBox(KEYS[:1]).encrypt("whsec_x")
    assert "whsec" not in kept
    assert SecretBox([KEYS[1], KEYS[0]]).decrypt(kept) == "whsec_x"
    with pytest.raises(SecretUnreadable):
        SecretBox(KEYS[1:]).decrypt(kept)


@pytest.mark.parametrize(
    ("status", "said"),
    [(200, ""), (204, ""), (301, "redirects are not followed"), (404, "answered 404"), (500, "answered 500")],
)
def test_what_an_answer_means(status: int, said: str) -> None:
    """Only 2xx is a success."""
    complaint = calls.complaint(status) or ""
    assert said in complaint
    assert bool(said) == bool(complaint)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        *((None, 0), ("120", 120), ("0", 0), ("-5", 0), ("soon", 0), ("", 0), ("٣", 0), ("9" * 400, 999_999_999)),
        ("Sat, 31 Jan 2026 12:01:00 GMT", 60),
        ("Sat, 31 Jan 2026 11:00:00 GMT", 0),
        ("Sat, 31 Jan 2026 12:01:00", 0),
    ],
)
def test_retry_after(value: str | None, seconds: float) -> None:
    """Seconds or a date; what makes no sense is no wish."""
    assert calls.retry_after_s(value, NOW) == seconds


def test_attempts_go_on_for_about_a_day() -> None:
    """With the defaults, the longest pauses add up to 35 hours, and on average it is half of that."""
    told = WebhookTuning()
    policy = Policy(
        attempts=told.webhook_attempts,
        backoff_base_s=told.webhook_backoff_base_s,
        backoff_cap_s=told.webhook_backoff_cap_s,
        prefetch=0,
        concurrency=1,
    )
    longest = sum(policy.backoff_s(attempt, lambda: 1.0) for attempt in range(1, told.webhook_attempts))
    assert timedelta(hours=34) < timedelta(seconds=longest) < timedelta(hours=36)


def test_events_to_choose_are_those_of_the_queue() -> None:
    """None can be chosen that never comes."""
    assert set(get_args(EventName)) == set(topology.QUEUES["webhooks"].routing_keys)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"webhook_allowed_networks": "127.0.0.0/8"}, "ALLOWED_NETWORKS is for ENVIRONMENT=development only"),
        ({"webhook_secret_keys": SecretStr("short")}, "WORKER_WEBHOOK_SECRET_KEYS must be"),
        ({"webhook_secret_keys": SecretStr(KEYS[0] + ",")}, "WORKER_WEBHOOK_SECRET_KEYS must be"),
        (
            {"webhook_secret_keys": SecretStr(f"{KEYS[0]},development-only-and-many-letters")},
            "still the placeholder",
        ),
        ({"webhook_ports": "http"}, "WORKER_WEBHOOK_PORTS"),
        ({"environment": "development", "webhook_allowed_networks": "loopback"}, "ALLOWED_NETWORKS cannot be read"),
    ],
)
def test_settings_that_are_refused(given: dict[str, Any], message: str) -> None:
    """A worker does not start with them, and says why."""
    with pytest.raises(ValidationError, match=message):
        settings(**given)


def test_plain_http_in_development_only() -> None:
    """Unless it is asked for."""
    assert settings().webhook_https_only
    assert not settings(webhook_allow_http=True).webhook_https_only
    assert not settings(environment="development").webhook_https_only
