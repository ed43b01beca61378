import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tools.devstack.fetch_uv import choose, wheel_tag

_ROOT = Path(__file__).parents[4]
PROJECT = """
[project]
name = "empty"
version = "0"
requires-python = ">=3.11"

[dependency-groups]
local = []
"""


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


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with the script and a project without packages."""
    folder = tmp_path / "checkout"
    (folder / "tools/devstack").mkdir(parents=True)
    shutil.copy(_ROOT / "tools/devstack/install.sh", folder / "tools/devstack")
    (folder / "pyproject.toml").write_text(PROJECT)
    subprocess.run([_UV, "lock", "--offline", "--quiet"], cwd=folder, check=True)
    return folder


def _install(checkout: Path, python: str, part: str = "python", **more: str) -> subprocess.CompletedProcess[str]:
    """Run the script with this Python, uv, and a command `python9.9`, which is a Python that says it is 9.9."""
    commands = checkout / "commands"
    commands.mkdir(exist_ok=True)
    (commands / "python9.9").write_text("#!/bin/sh\ncase $1 in -c) echo 9.9 ;; *) exit 7 ;; esac\n")
    (commands / "python9.9").chmod(0o755)
    (commands / "uv").unlink(missing_ok=True)
    (commands / "uv").symlink_to(_UV)
    path = f"{commands}{os.pathsep}{os.environ['PATH']}"
    variables = os.environ | {"PATH": path, "PYTHON": python, "UV_OFFLINE": "1", "UV_PYTHON_DOWNLOADS": "never"}
    script = ["sh", "tools/devstack/install.sh", part]
    return subprocess.run(script, cwd=checkout, env=variables | more, capture_output=True, text=True, check=False)


_UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}") or "uv"
_HERE = Path(sys.base_prefix) / "bin" / f"python{sys.version_info[0]}.{sys.version_info[1]}"


def test_the_virtual_environment_has_the_python_that_is_asked_for(checkout: Path) -> None:
    """An environment of another version is replaced, and one of the same version is kept."""
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").write_text("#!/bin/sh\necho 3.1\n")
    (checkout / ".venv/bin/python").chmod(0o755)
    first = _install(checkout, str(_HERE))
    assert first.returncode == 0, first.stderr
    version = subprocess.run([checkout / ".venv/bin/python", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.split()[1] == ".".join(map(str, sys.version_info[:3]))
    (checkout / ".venv/kept").touch()
    assert _install(checkout, str(_HERE)).returncode == 0
    assert (checkout / ".venv/kept").exists()


def test_a_version_is_the_command_of_that_name(checkout: Path) -> None:
    """PYTHON=9.9 runs `python9.9`, if there is one."""
    done = _install(checkout, "9.9")
    assert (done.returncode, "Making .venv with" in done.stdout) == (7, True)


def test_a_python_that_is_not_there_is_an_error(checkout: Path) -> None:
    """The message names the version and says what to do; nothing is installed with another one."""
    done = _install(checkout, "3.99")
    assert done.returncode != 0
    assert "there is no Python 3.99 here" in done.stderr
    assert not (checkout / ".venv").exists()


def test_an_environment_is_kept_if_its_successor_cannot_be_made(checkout: Path) -> None:
    """`make test PYTHON=3.99` leaves what `make test` uses, and nothing beside it."""
    assert _install(checkout, str(_HERE)).returncode == 0
    shutil.copy(_UV, checkout / ".venv/bin/uv")
    before = {path.name for path in checkout.iterdir()}
    done = _install(checkout, "3.99")
    assert "there is no Python 3.99 here" in done.stderr
    assert {path.name for path in checkout.iterdir()} == before
    assert _install(checkout, "").returncode == 0
    assert (checkout / ".venv/bin/uv").exists()


def test_each_step_is_printed_with_the_seconds_since_the_beginning(checkout: Path) -> None:
    """BEGAN is the beginning; what `make run` needs is installed without the packages of tests."""
    began = str(int(time.time()) - 5000)
    done = _install(checkout, str(_HERE), "run", BEGAN=began, RABBITMQ_URL="amqp://elsewhere/")
    assert done.returncode == 0, done.stderr
    seconds = [int(found) for found in re.findall(r"^(\d+) s  \w", done.stdout, re.MULTILINE)]
    assert len(seconds) == len(done.stdout.splitlines()) >= 2
    assert all(second >= 5000 for second in seconds)


def test_what_cannot_be_installed_stops_the_run(checkout: Path) -> None:
    """The error of RabbitMQ, which is installed beside the packages, ends the script."""
    script = checkout / "tools/devstack/install.sh"
    script.write_text(script.read_text().replace("install_rabbitmq() {", "install_rabbitmq() { fail 'no root'"))
    done = _install(checkout, str(_HERE), "run")
    assert (done.returncode, done.stderr) == (1, "install: no root\n")
