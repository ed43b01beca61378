"""Postgres refuses to run as root: an OS user of its own, and a way for it to its files."""

import os
import stat
import subprocess
from pathlib import Path

from tools.devstack.system.errors import StartError
from tools.devstack.system.processes import group_of, running_as_root

OS_USER = "pgserver"  # the name that the Postgres wheel uses itself


def unprivileged_user() -> int | None:
    """The user to run Postgres as, made when missing; None when we are not root."""
    if not running_as_root():
        return None
    import pwd  # not on Windows

    try:
        return pwd.getpwnam(OS_USER).pw_uid
    except KeyError:
        _make_user()
        return pwd.getpwnam(OS_USER).pw_uid


def _make_user() -> None:
    argv = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", OS_USER]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError as error:
        raise StartError(f"Postgres does not run as root, and there is no useradd to make a user: {error}") from error
    # 9: somebody else made it meanwhile
    if done.returncode not in (0, 9):
        raise StartError(f"Postgres does not run as root, and useradd failed: {done.stderr.strip()}")


def open_the_way(path: Path, user: int) -> None:
    """Let the user pass through every folder above `path`, without letting them list it.

    A folder that was its owner's alone is opened to the user's group; one that has a group already, to all.
    """
    group = group_of(user)
    for folder in path.resolve().parents:
        found = folder.stat()
        may_pass = found.st_mode & stat.S_IXOTH or (found.st_gid == group and found.st_mode & stat.S_IXGRP)
        if may_pass:
            continue
        if found.st_mode & stat.S_IRWXG:
            folder.chmod(found.st_mode | stat.S_IXGRP | stat.S_IXOTH)
        else:
            os.chown(folder, -1, group)
            folder.chmod(found.st_mode | stat.S_IXGRP)


def open_binaries(binaries: Path, user: int) -> None:
    """The wheel's files as its installer left them may be readable by root alone."""
    open_the_way(binaries / "postgres", user)
    for path in binaries.parent.rglob("*"):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            continue
        wanted = mode | stat.S_IRGRP | stat.S_IROTH
        if stat.S_ISDIR(mode) or mode & stat.S_IXUSR:
            wanted |= stat.S_IXGRP | stat.S_IXOTH
        if wanted != mode:
            path.chmod(wanted)
