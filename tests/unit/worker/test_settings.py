"""What the worker's constants must have to do with each other."""

from services.worker.email.users import TIMEOUT_S
from services.worker.settings import DEFAULTS


def test_leases_outlast_their_work() -> None:
    """Otherwise a second worker would take up what the first is still doing."""
    assert DEFAULTS.mail_lease_s > DEFAULTS.smtp_send_timeout_s + TIMEOUT_S
