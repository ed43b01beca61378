"""A terminal in which a page's commands are typed, one block after the other."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


class Terminal:
    """A shell that keeps its variables and background jobs from block to block."""

    def __init__(self, shell: "subprocess.Popen[str]") -> None:
        self._shell = shell

    def type(self, commands: str) -> str:
        """Run the commands and return their output. Fails with it if the last one fails."""
        mark = uuid4().hex
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.write(f"{commands}\nstatus=$?; echo; echo {mark} $status\n")
        self._shell.stdin.flush()
        output: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(mark):
                assert line.split()[1] == "0", f"{commands}\n{''.join(output)}"
                return "".join(output)
            output.append(line)
        raise AssertionError(f"the shell has ended:\n{commands}\n{''.join(output)}")


@contextmanager
def terminal(folder: Path, environment: Mapping[str, str]) -> Iterator[Terminal]:
    """Open a terminal in that folder. At its end everything that was started in it is killed."""
    shell = subprocess.Popen(
        ["bash"],
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield Terminal(shell)
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.communicate()
