"""Processes with a wrong clock, by libfaketime (Debian: faketime). Their monotonic clock is right."""

from pathlib import Path

import pytest

_LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))

needs_faketime = pytest.mark.skipif(not _LIBRARIES, reason="libfaketime is not installed")


def shifted(seconds: int) -> tuple[str, ...]:
    """Return the start of a command line whose process has a clock with this offset."""
    return (
        "env",
        f"LD_PRELOAD={_LIBRARIES[0]}",
        f"FAKETIME={seconds:+d}s",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
        "DONT_FAKE_MONOTONIC=1",
    )
