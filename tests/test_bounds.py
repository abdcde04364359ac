"""scripts/bounds.py comes to its closing table, whatever fails before."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "bounds.py"


@pytest.fixture
def bounds(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    specification = importlib.util.spec_from_file_location("bounds", SCRIPT)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "bounds", module)  # as dataclasses ask
    specification.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", ["bounds.py"])
    return module


def test_a_python_that_does_not_run_is_refused_before_anything_is_built(
    bounds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """pyenv's python3.10 is on PATH, and exits with 127 unless that version is chosen."""
    shim = tmp_path / "python3.10"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(SystemExit, match="2"):
        bounds.main()
    assert "python3.10 is on PATH and does not run" in capsys.readouterr().err


def test_an_end_that_cannot_be_installed_has_its_row_and_the_other_end_its_try(
    bounds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def install(bench: object, end: object, place: Path) -> Path:
        raise subprocess.CalledProcessError(2, ["/tools/uv", "pip", "install", "torch"])

    monkeypatch.setattr(bounds, "ENDS", {name: bounds.End(sys.executable, "highest") for name in bounds.ENDS})
    monkeypatch.setattr(bounds.Bench, "__init__", lambda bench, folder: setattr(bench, "folder", folder))
    monkeypatch.setattr(bounds.Bench, "build", lambda bench: None)
    monkeypatch.setattr(bounds.Bench, "_install", install)
    assert bounds.main() == 1
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("| lowest", "| newest"))]
    assert len(rows) == 2 and all("| uv pip install torch: exit code 2 | not run |" in row for row in rows)


@pytest.mark.parametrize(
    ("last", "good"),
    [
        ("12 passed, 3 skipped, 4 warnings in 300.10s (0:05:00)", True),
        ("1 failed, 12 passed in 3.00s", False),
        ("12 passed, 1 error in 3.00s", False),
        ("3 skipped in 0.20s", False),
        ("stopped after 60 minutes", False),
    ],
)
def test_an_end_is_good_where_tests_passed_and_none_failed(
    last: str, good: bool, bounds: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"_install": tmp_path, "_versions": {"python": "3"}, "_commands": "right", "_tests": last}
    for method, answer in told.items():
        monkeypatch.setattr(bounds.Bench, method, lambda *words, answer=answer: answer)
    monkeypatch.setattr(bounds.Bench, "__init__", lambda bench, folder: setattr(bench, "folder", folder))
    assert bounds.Bench(tmp_path).end_row("lowest", [], 1)[1] is good
