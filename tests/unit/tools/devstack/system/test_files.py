import stat
from pathlib import Path

import pytest

from tools.devstack.datadir import DataDir
from tools.devstack.system.errors import DataDirError
from tools.devstack.system.files import tail, write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The file has the new content and the mode, and the folder has no other file."""
    path = tmp_path / "stack.json"
    write_atomically(path, "old")
    write_atomically(path, "new", mode=0o600)
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    """A failed write changes nothing."""
    path = tmp_path / "stack.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_end_of_a_log_is_shown(tmp_path: Path) -> None:
    """Only the last lines are shown, and nothing if there is no log."""
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(50)))
    assert tail(log, 2) == "    line 48\n    line 49"
    assert tail(tmp_path / "none") == ""


def test_secrets_are_made_once(tmp_path: Path) -> None:
    """A second start uses the same secrets, in a file that only its owner can read."""
    made = DataDir(tmp_path).secrets()
    assert DataDir(tmp_path).secrets() == made
    assert stat.S_IMODE((tmp_path / "secrets.env").stat().st_mode) == 0o600


def test_an_impossible_folder_is_refused(tmp_path: Path) -> None:
    """A data folder that cannot be created is reported in one message."""
    (tmp_path / "file").write_text("")
    with pytest.raises(DataDirError, match="cannot be used: Not a directory"):
        DataDir(tmp_path / "file" / "data").take()
