"""The declared dependencies of the project. `make lint` finds unused and missing ones with deptry."""

import functools
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def declared() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"].values()
    return [*project["project"]["dependencies"], *(each for group in groups for each in group if isinstance(each, str))]


@functools.cache
def locked() -> dict[str, str]:
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    return {package["name"]: package["version"] for package in packages if "version" in package}


@pytest.mark.parametrize("requirement", declared())
def test_a_zero_version_has_an_upper_bound(requirement: str) -> None:
    """A minor version of a package below 1.0 may break our code, so it is upgraded on purpose and not by `uv lock`."""
    name, version_bounds = re.match(r"([\w.-]+)(?:\[.*\])?(.*)", requirement).groups()  # type: ignore[union-attr]
    version = locked()[name.lower()]
    if version.startswith("0."):
        minor = int(version.split(".")[1])
        assert f"<0.{minor + 1}" in version_bounds.split(",")
