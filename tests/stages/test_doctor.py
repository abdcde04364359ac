"""The doctor's table and what becomes of its findings; tests/checks has each check."""

from __future__ import annotations

from importlib import import_module

import pytest

import facegen
from facegen.checks import space
from facegen.checks.check import Check, CheckResult
from facegen.checks.table import CHECKS
from facegen.stages import doctor as stage
from facegen.stages.doctor import DoctorResult, doctor

PYTHON = CHECKS[0]


def put(monkeypatch: pytest.MonkeyPatch, *checks: Check) -> None:
    monkeypatch.setattr(stage, "CHECKS", checks)


def test_the_table_names_functions_that_are_there() -> None:
    for check in CHECKS:
        module, _, name = check.function.partition(":")
        assert callable(getattr(import_module(module), name)), check.name
    assert len({check.name for check in CHECKS}) == len(CHECKS)


def test_a_broken_check_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(space, "free_and_total_memory", lambda: 1 / 0)
    put(monkeypatch, *(check for check in CHECKS if check.name in ("python", "memory", "disk")))
    result = doctor()
    assert [(check.name, check.status) for check in result.checks][:2] == [("python", "ok"), ("memory", "wrong")]
    assert [check.name for check in result.checks] == ["python", "memory", "disk"]
    assert result.ok is False and result.wrong == ("memory",)


def test_without_torch_the_others_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, PYTHON, Check("torch", "facegen_absent.hardware:check_torch"))
    result = doctor()
    assert [check.status for check in result.checks] == ["ok", "wrong"]
    assert "facegen_absent" in result.checks[1].message


def test_quick_leaves_the_slow_ones_out(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, PYTHON, Check("slow", "facegen.checks.software:check_python", slow=True))
    assert [check.name for check in doctor(quick=True).checks] == ["python"]
    assert [check.name for check in doctor().checks] == ["python", "slow"]


def test_the_score_is_what_is_slow() -> None:
    assert [check.name for check in CHECKS if check.slow] == ["score"]


def test_a_warning_is_not_wrong() -> None:
    assert DoctorResult((CheckResult("warn", "There is no GPU.", name="gpu"),)).ok is True


def test_lines_are_aligned_and_remedies_stand_beneath() -> None:
    result = DoctorResult(
        (
            CheckResult("ok", "All is well.", name="disk"),
            CheckResult("wrong", "It is broken.", "Mend it.", name="software"),
            CheckResult("warn", "It is slow.", name="gpu"),
        )
    )
    assert result.lines() == [
        "ok     disk      All is well.",
        "wrong  software  It is broken.",
        "                 → Mend it.",
        "warn   gpu       It is slow.",
        "",
        "3 checks: 1 wrong, 1 warning.",
    ]


def test_the_json_has_every_check() -> None:
    result = DoctorResult((CheckResult("warn", "It is slow.", "Wait.", {"gpus": []}, "gpu"),))
    assert result.to_json() == {
        "schema": 1,
        "facegen": facegen.__version__,
        "ok": True,
        "checks": [
            {"name": "gpu", "status": "warn", "message": "It is slow.", "remedy": "Wait.", "details": {"gpus": []}}
        ],
    }


def test_it_is_part_of_the_public_api(monkeypatch: pytest.MonkeyPatch) -> None:
    put(monkeypatch, PYTHON)
    assert facegen.doctor().ok is True
