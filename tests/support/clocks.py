"""Processes whose clock is wrong, by libfaketime (Debian: faketime). Their monotonic clock is right."""

from pathlib import Path

import pytest

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

needs_faketime = pytest.mark.skipif(not _LIBRARIES, reason="libfaketime is not installed")


def shifted(seconds: int) -> tuple[str, ...]:
    """The beginning of a command line whose process is ahead by so much, or behind."""
    return (
        "env",
        f"LD_PRELOAD={_LIBRARIES[0]}",
        f"FAKETIME={seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "DONT_FAKE_MONOTONIC=1",
    )
