from pathlib import Path

import pytest


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run these tests only with `-m long`: once, the tests of loops did not come to their end."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("long")
