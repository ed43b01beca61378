import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.devstack.fetch_uv import choose, wheel_tag

_ROOT = Path(__file__).parents[4]


@pytest.mark.parametrize("script", [("sh", "tools/devstack/install.sh"), ("bash", ".ci/run")])
def test_scripts_are_well_formed(script: tuple[str, str]) -> None:
    """The shell that runs a script can read it."""
    shell, path = script
    subprocess.run([shell, "-n", path], cwd=_ROOT, check=True)


def _file(version: str, tag: str, **more: Any) -> dict[str, Any]:
    return {"filename": f"uv-{version}-py3-none-{tag}", **more}


def test_the_newest_release_for_this_machine_is_chosen() -> None:
    """Versions are compared as numbers. Pre-releases and yanked releases are ignored."""
    tag = wheel_tag("Linux", "x86_64")
    files = [_file(version, tag) for version in ("0.9.9", "0.13.9", "0.14.0rc1")]
    files += [_file("0.15.0", tag, yanked=True), _file("9.0.0", "win32.whl")]
    assert choose(files, tag)["filename"].startswith("uv-0.13.9-")


def test_a_machine_without_a_wheel_is_told_so() -> None:
    """The message says what to do."""
    with pytest.raises(SystemExit, match="install uv yourself"):
        choose([_file("1.0", "win32.whl")], wheel_tag("Linux", "vax"))


def test_help_loads_no_library_of_the_services() -> None:
    """`dashboard --help` is fast because it imports only the command line."""
    script = "import sys, tools.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"asyncpg", "fastapi", "sqlalchemy", "psutil", "aiosmtpd"} & set(done.stdout.split())
