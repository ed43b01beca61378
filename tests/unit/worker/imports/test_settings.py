"""What the constants of imports must have to do with each other."""

from services.worker.imports.settings import ImportTuning


def test_leases_outlast_their_work() -> None:
    """Otherwise a second worker would take up what the first is still doing."""
    tuning = ImportTuning()
    assert tuning.import_lease_s > tuning.import_orders_timeout_s
