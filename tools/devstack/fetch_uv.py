"""Puts the `uv` binary of PyPI's wheel into a folder, using only the standard library.

For a Python without pip, as Debian ships it. Usage: fetch_uv.py FOLDER
"""

import hashlib
import io
import json
import platform
import sys
import urllib.request
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

_INDEX = "https://pypi.org/simple/uv/"
TIMEOUT_S = 20
"""For each wait on the connection: where PyPI is blocked, pip may know a mirror."""
_JSON = {"Accept": "application/vnd.pypi.simple.v1+json"}


def wheel_tag(system: str, machine: str) -> str:
    """Return the end of the matching wheel's file name; on Linux that of the static build, which needs no particular
    libc."""
    if system == "Darwin":
        return "macosx_11_0_arm64.whl" if machine == "arm64" else "macosx_10_12_x86_64.whl"
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(machine.lower(), machine)
    return f"musllinux_1_1_{machine}.whl"


def choose(files: list[dict[str, Any]], tag: str) -> dict[str, Any]:
    """Return the newest release's wheel; a pre-release's version is not all numbers."""
    # A wheel may carry several tags: ...manylinux_2_17_aarch64.musllinux_1_1_aarch64.whl
    mine = [file for file in files if file["filename"].endswith(tag) and not file.get("yanked")]
    released = {version: file for file in mine if (version := _version(file["filename"]))}
    if not released:
        raise SystemExit(f"PyPI has no uv for this machine ({tag}): install uv yourself, see docs.astral.sh/uv")
    return released[max(released)]


def _version(filename: str) -> tuple[int, ...]:
    numbers = filename.split("-")[1].split(".")
    return tuple(map(int, numbers)) if all(number.isdigit() for number in numbers) else ()


def read(url: str) -> bytes:
    request = urllib.request.Request(url, headers=_JSON)  # noqa: S310 - https, from PyPI's own answer
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310
        content: bytes = response.read()
    return content


def main(folder: Path) -> None:
    file = choose(json.loads(read(_INDEX))["files"], wheel_tag(platform.system(), platform.machine()))
    wheel = read(urljoin(_INDEX, file["url"]))
    if hashlib.sha256(wheel).hexdigest() != file["hashes"]["sha256"]:
        raise SystemExit(f"the checksum of {file['filename']} does not match PyPI's")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/scripts/uv"))
        target = folder / "uv"
        target.write_bytes(archive.read(name))
    target.chmod(0o755)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except OSError as error:
        raise SystemExit(f"uv could not be fetched from PyPI: {error}") from error
