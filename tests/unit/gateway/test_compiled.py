"""The modules that are compiled for the image, and whether they are compiled here."""

import os
import runpy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

import services.gateway.metrics

SCRIPT = Path(__file__).parents[3] / "deploy/compile.py"
MODULES: tuple[str, ...] = runpy.run_path(str(SCRIPT))["MODULES"]
IS_COMPILED = bool(os.environ.get("COMPILED"))
"""`make test COMPILED=1` says so."""


@pytest.mark.parametrize("name", MODULES)
def test_what_is_compiled_is_there(name: str) -> None:
    """As an extension module in a compiled tree, and as a source everywhere else."""
    assert find_spec(name) is not None
    assert str(import_module(name).__file__).endswith(".so" if IS_COMPILED else ".py")


def test_a_gateway_tells_whether_it_is_compiled() -> None:
    """By the label of `build_info`."""
    assert services.gateway.metrics.BUILD in set(REGISTRY._collector_to_names)
    assert REGISTRY.get_sample_value("build_info", {"compiled": str(IS_COMPILED).lower()}) == 1
