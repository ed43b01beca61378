"""What the image keeps of its packages."""

import subprocess
import sys
from pathlib import Path

from deploy import slim

SOURCE = '"""A module."""\n\ndef fail():\n    raise RuntimeError("broken")\n'


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(SOURCE)


def test_packages_are_imported_from_bytecode(tmp_path: Path) -> None:
    """Other packages lose their sources, tests and stubs; ours keep their sources. A traceback names file and line."""
    write(tmp_path, "other/__init__.py", "other/deep/module.py", "other/tests/test_module.py", "other/module.pyi")
    write(tmp_path, "single.py", "ours/__init__.py", "ours/__pycache__/kept.pyc", "other/__pycache__/gone.pyc")
    (tmp_path / "other/template.py").write_text("{{ no Python }}\n")
    slim.packages(tmp_path, {"ours"})
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {
        *("other/__init__.pyc", "other/deep/module.pyc", "other/template.py", "single.pyc"),
        *("ours/__init__.py", "ours/__pycache__/kept.pyc"),
    }
    script = "import ours, single; from other.deep import module; module.fail()"
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f'File "{tmp_path}/other/deep/module.py", line 4, in fail' in done.stderr
    assert done.stderr.endswith("RuntimeError: broken\n")


def test_the_standard_library_is_imported_from_bytecode(tmp_path: Path) -> None:
    """Installed packages stay as they are; modules that no process uses are removed."""
    write(tmp_path, "json/__init__.py", "abc.py", "idlelib/__init__.py", "site-packages/y.py", "test/z.py")
    slim.standard_library(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"json/__init__.pyc", "abc.pyc", "site-packages/y.py"}


def test_every_pattern_names_something() -> None:
    """A package that is renamed or updated does not silently bring back what was removed."""
    [folder] = {Path(path) for path in sys.path if path.endswith("site-packages") and Path(path, "sqlalchemy").exists()}
    for pattern in slim.UNREAD:
        assert next(folder.glob(pattern), None) is not None, pattern
    lexers = {file.name for file in (folder / slim.LEXERS).glob("*.py")}
    assert lexers > slim.LEXERS_READ
