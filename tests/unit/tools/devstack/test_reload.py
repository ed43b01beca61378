from pathlib import Path

import pytest

from tools.devstack.reload import concerned, migrated


@pytest.mark.parametrize(
    ("changed", "names"),
    [
        (["services/users/routes.py"], ["users"]),
        (["services/gateway/web/js/home.js"], ["gateway"]),
        (["services/gateway/main.py", "services/orders/models.py"], ["orders", "gateway"]),
        (["shared/clock.py"], ["users", "orders", "worker", "gateway"]),
        (["services/__init__.py"], ["users", "orders", "worker", "gateway"]),
        (["services/gateway/panels.toml"], []),
        (["README.md"], []),
    ],
)
def test_only_the_services_that_run_a_file_restart(changed: list[str], names: list[str]) -> None:
    """A service's own files concern it alone, shared ones all. The gateway reads its panels file again by itself."""
    assert concerned(map(Path, changed)) == names


def test_changed_migrations_run() -> None:
    """A changed migration runs before its service restarts; other changes migrate nothing."""
    assert migrated([Path("services/orders/migrations/versions/0009_notes.py")]) == ["orders"]
    assert migrated([Path("services/orders/models.py"), Path("shared/db/migrations.py")]) == []
