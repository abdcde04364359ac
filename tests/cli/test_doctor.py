from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from click.testing import Result

from facegen.checks import software
from facegen.checks.table import CHECKS
from facegen.stages import doctor as stage

Run = Callable[..., Result]


@pytest.fixture(autouse=True)
def _few(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks that take no time."""
    few = ("python", "packages", "memory", "cache")
    monkeypatch.setattr(stage, "CHECKS", tuple(check for check in CHECKS if check.name in few))


def test_a_sound_machine_ends_with_0_and_a_line_each(facegen: Run) -> None:
    outcome = facegen("doctor")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    names = [line.split()[1] for line in outcome.stdout.split("\n\n")[0].splitlines() if "→" not in line]
    assert names == ["python", "packages", "memory", "cache"]


def test_something_wrong_ends_with_1_and_its_remedy(facegen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "PYTHON", (9, 1))
    outcome = facegen("doctor")
    assert outcome.exit_code == 1 and "→ Use Python 9.1 or newer." in outcome.stdout
    assert "Something is wrong: python." in outcome.stderr


def test_json_is_all_of_stdout(facegen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(software, "PYTHON", (9, 1))
    outcome = facegen("doctor", "--json")
    answer = json.loads(outcome.stdout)
    assert outcome.exit_code == 1
    assert answer.keys() == {"schema", "facegen", "ok", "checks"} and answer["ok"] is False
    assert all(check.keys() == {"name", "status", "message", "remedy", "details"} for check in answer["checks"])
    assert answer["checks"][0]["status"] == "wrong"


def test_quick_is_passed_on(facegen: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "CHECKS", tuple(check for check in CHECKS if check.slow))
    outcome = facegen("doctor", "--quick", "--json")
    assert outcome.exit_code == 0 and json.loads(outcome.stdout)["checks"] == []
