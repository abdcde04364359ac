"""Installed packages that add to facegen's tables, by an entry point."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from facegen.checks.software import check_extensions

Run = Callable[..., Result]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a package "scratch" with one extension of this source."""

    sys.modules.pop("scratch_extension", None)

    def install(source: str) -> None:
        (tmp_path / "scratch_extension.py").write_text(source, encoding="utf-8")
        about = tmp_path / "scratch-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: scratch\nVersion: 1.0\n", encoding="utf-8")
        (about / "entry_points.txt").write_text("[facegen.extensions]\nmine = scratch_extension\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "scratch_extension", raising=False)

    return install


def test_a_command_loads_what_is_installed(installed: Callable[[str], None], facegen: Run) -> None:
    installed("")
    facegen("weights")
    assert "scratch_extension" in sys.modules


def test_what_it_prints_is_no_result(installed: Callable[[str], None], facegen: Run) -> None:
    installed("print('hello', flush=True)")
    outcome = facegen("inspect", "--list")
    assert "hello" in outcome.stderr and "hello" not in outcome.stdout


def test_help_loads_nothing(installed: Callable[[str], None], facegen: Run) -> None:
    installed("")
    facegen("--help")
    assert "scratch_extension" not in sys.modules


@pytest.mark.parametrize("command", ["prepare", "pack", "doctor"])
def test_commands_that_read_no_table_do_not_wait_for_it(
    command: str, installed: Callable[[str], None], facegen: Run
) -> None:
    installed("")
    facegen(command, "--help")
    assert "scratch_extension" not in sys.modules


@pytest.mark.parametrize(
    "source",
    [
        "import nowhere_at_all",
        "raise ValueError('There is a metric kid already.')",
        "def f(:",
        "1 / 0",
        "exit(5)",
        "raise GeneratorExit",
    ],
)
def test_one_that_fails_is_named_with_its_package(source: str, installed: Callable[[str], None], facegen: Run) -> None:
    installed(source)
    outcome = facegen("weights")
    assert outcome.exit_code == 2 and "The extension mine (scratch_extension) of scratch" in outcome.stderr


def test_the_doctor_names_one_that_fails(installed: Callable[[str], None]) -> None:
    installed("1 / 0")
    found = check_extensions()
    assert found.status == "wrong" and "scratch cannot be loaded: ZeroDivisionError" in found.message
    assert found.remedy == "Repair it, or run: pip uninstall scratch"


@pytest.mark.parametrize(("source", "message"), [("", "mine can be loaded."), (None, "No installed package")])
def test_the_doctor_loads_them(source: str | None, message: str, installed: Callable[[str], None]) -> None:
    if source is not None:
        installed(source)
    found = check_extensions()
    assert found.status == "ok" and found.message.startswith(message)
    assert ("scratch_extension" in sys.modules) == (source is not None)
