from collections.abc import Iterator

import pytest

from tests.support.backends import Backends
from tests.support.stack import tuned_up
from tests.support.stack.budgets import UNHURRIED
from tests.support.stack.running import Person, Stack, running_stack


@pytest.fixture(scope="package")
def stack(backends: Backends, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Stopped before other tests use the broker, because its worker would consume their events."""
    with running_stack(tmp_path_factory.mktemp("stack"), backends, UNHURRIED, tuned_up.COMMAND) as stack:
        yield stack


@pytest.fixture
def person(stack: Stack) -> Iterator[Person]:
    somebody = Person(stack)
    yield somebody
    somebody.http.close()
