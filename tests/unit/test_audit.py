"""The handling of a vulnerability report."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

CLEAN = {"name": "a", "version": "1", "vulns": []}
BROKEN = {"name": "b", "version": "2", "vulns": [{"id": "PYSEC-1", "fix_versions": ["3"]}]}
UNKNOWN = {"name": "c", "skip_reason": "not found"}


@pytest.fixture
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", Path(__file__).parents[2] / "deploy/audit.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.locked = lambda: "the lock"  # type: ignore[attr-defined]
    return module


def answering(audit: ModuleType, *packages: dict[str, Any], known: bool = True) -> None:
    """The index returns this for the lock file; `known` is whether it has vulnerability data at all."""

    def ask(requirements: str) -> dict[str, Any]:
        canary = [BROKEN if known else CLEAN]
        return {"dependencies": canary if requirements == audit.KNOWN_AS_VULNERABLE else packages}

    audit.ask = ask  # type: ignore[attr-defined]


def test_findings_fail(audit: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    """Each finding is reported with the version that fixes it."""
    answering(audit, CLEAN, BROKEN)
    assert audit.main() == 1
    assert capsys.readouterr().out == "audit: b 2: PYSEC-1, fixed in 3\n"


def test_nothing_found(audit: ModuleType) -> None:
    """ "No findings" is reported only if the index was queried."""
    answering(audit, CLEAN)
    assert audit.main() == 0


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("case", ["mirror without data", "unknown package"])
def test_what_could_not_be_asked_is_not_called_clean(
    audit: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    required: bool,
    case: str,
) -> None:
    """One line reports it. If the audit is required, it fails."""
    monkeypatch.setenv("AUDIT", "required" if required else "")
    answering(audit, CLEAN, *([UNKNOWN] if case == "unknown package" else []), known=case != "mirror without data")
    assert audit.main() == int(required)
    assert capsys.readouterr().out.startswith("audit: not done: ")


def test_without_pip_audit_nothing_is_asked(audit: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pip-audit the reason is reported like any other."""
    monkeypatch.setattr(audit.sys, "executable", "/nowhere/python")
    with pytest.raises(audit.NoData, match="not installed"):
        audit.ask("a==1\n")
