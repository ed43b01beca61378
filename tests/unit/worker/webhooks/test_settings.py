"""What the constants of webhooks must have to do with each other."""

from services.worker.webhooks.settings import WebhookTuning


def test_leases_outlast_their_work() -> None:
    """Otherwise a second worker would take up what the first is still doing."""
    tuning = WebhookTuning()
    assert tuning.webhook_lease_s > tuning.webhook_total_timeout_s
