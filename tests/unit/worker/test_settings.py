"""What the worker's constants must have to do with each other."""

from services.worker.settings import DEFAULTS


def test_leases_outlast_their_work() -> None:
    """Otherwise a second worker would take up what the first is still doing."""
    assert DEFAULTS.mail_lease_s > DEFAULTS.smtp_send_timeout_s
    assert DEFAULTS.import_lease_s > DEFAULTS.import_orders_timeout_s
    assert DEFAULTS.webhook_lease_s > DEFAULTS.webhook_total_timeout_s
