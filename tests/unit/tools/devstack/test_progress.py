"""What `dashboard up` prints while it is starting."""

import time

import pytest

from tools.devstack.up import Progress


def test_steps_have_the_seconds_since_the_beginning_until_the_stack_is_ready(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Later messages, such as that of a restart, have none."""
    progress = Progress(time.time() - 5000)
    progress("starting postgres")
    assert progress.seconds() >= 5000
    progress.is_starting = False
    progress("gateway ended: restarting it")
    first, second = capsys.readouterr().out.splitlines()
    seconds, unit, text = first.split(maxsplit=2)
    assert (int(seconds) >= 5000, unit, text) == (True, "s", "starting postgres")
    assert second == "gateway ended: restarting it"
