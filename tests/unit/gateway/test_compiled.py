"""Which of the gateway's modules are compiled by mypyc, and that tests run on what they are meant to run on."""

import ast
import importlib
import os
import tomllib
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
MODULES = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dashboard"]["compiled"]


@pytest.mark.parametrize("name", MODULES)
def test_a_module_is_compiled_where_that_is_asked_for(name: str) -> None:
    """With `COMPILED=1` each module of the list comes from a library, otherwise from its source."""
    file = importlib.import_module(name).__file__
    assert file is not None
    assert file.endswith(tuple(EXTENSION_SUFFIXES)) == bool(os.environ.get("COMPILED"))


@pytest.mark.parametrize("name", MODULES)
def test_nothing_native_can_be_referenced_weakly(name: str) -> None:
    """mypyc does not clear weak references: one that is followed after its object is gone crashes the process. Native
    classes have none unless they inherit from an ordinary class; those must be `mypyc_attr(native_class=False)`."""
    module = importlib.import_module(name)
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and kind.__module__ == name]
    native = [kind for kind in kinds if "__mypyc_attrs__" in vars(kind) and not getattr(kind, "_is_protocol", False)]
    assert [kind for kind in native if kind.__weakrefoffset__] == []


@pytest.mark.parametrize("name", MODULES)
def test_no_coroutine_is_compiled(name: str) -> None:
    """mypyc passes exceptions into coroutines in a way that is deprecated since Python 3.12."""
    tree = ast.parse((ROOT / f"{name.replace('.', '/')}.py").read_bytes())
    assert not any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(tree))


def test_the_list_is_in_order() -> None:
    """Each module is named once."""
    assert sorted(set(MODULES)) == MODULES
