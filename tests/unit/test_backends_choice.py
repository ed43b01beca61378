"""Which servers the tests run against."""

import gc
import socket
import warnings
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.backends import choose
from tests.support.backends.local import LocalBackends


def test_a_socket_that_nobody_listens_on_means_local_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Docker engine that is gone but left its socket is not chosen, and no open socket is left behind."""
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    monkeypatch.delenv("TEST_BACKENDS", raising=False)
    with warnings.catch_warnings(record=True) as left:
        warnings.simplefilter("always")
        with closing(choose()) as chosen:
            assert isinstance(chosen, LocalBackends)
        gc.collect()
    assert [str(one.message) for one in left] == []
