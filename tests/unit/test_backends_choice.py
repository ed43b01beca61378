"""The choice of the servers for the tests."""

import gc
import socket
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from tests.support import garbage
from tests.support.backends import choose
from tests.support.backends.local import LocalBackends


def test_a_socket_that_nobody_listens_on_means_local_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A stopped Docker engine whose socket still exists is not chosen, and no socket stays open."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    monkeypatch.delenv("TEST_BACKENDS", raising=False)
    garbage.collect()  # garbage of earlier tests warns now
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        with closing(choose()) as chosen:
            assert isinstance(chosen, LocalBackends)
        gc.collect()
    assert [str(one.message) for one in left] == []
