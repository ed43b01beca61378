import pytest

from tests.support.stack.readme import run_example
from tests.support.stack.running import Stack

pytestmark = pytest.mark.e2e


def test_the_examples_work_as_they_stand(stack: Stack) -> None:
    """Every line of the README's example runs, and its dashboard shows the paid order."""
    printed = run_example(stack.url)
    assert "dashboard-complete: true" in printed.lower()
    assert '"status":"paid"' in printed
