"""What a check raises is a finding."""

from __future__ import annotations

import sys

import pytest

from facegen.checks.check import Check, CheckResult
from facegen.errors import EnvironmentProblem


def fine() -> CheckResult:
    return CheckResult("ok", "All is well.")


def several() -> list[CheckResult]:
    return [CheckResult("ok", "All is well.", name="one"), CheckResult("warn", "Nearly.", name="two")]


def knows_why() -> CheckResult:
    raise EnvironmentProblem("The disk is full.", "Make room.")


def breaks() -> CheckResult:
    raise ZeroDivisionError("division by zero")


def lacks_a_package() -> CheckResult:
    import facegen_absent  # noqa: F401

    return fine()


def run(name: str) -> CheckResult:
    [found] = Check("sample", f"{__name__}:{name}").run()
    return found


def test_a_result_takes_the_checks_name() -> None:
    assert run("fine") == CheckResult("ok", "All is well.", name="sample")


def test_names_that_a_function_gave_stay() -> None:
    assert [found.name for found in Check("sample", f"{__name__}:several").run()] == ["one", "two"]


def test_an_expected_failure_keeps_its_remedy() -> None:
    found = run("knows_why")
    assert (found.status, found.message, found.remedy) == ("wrong", "The disk is full.", "Make room.")


def test_a_defect_is_told_by_type_and_words() -> None:
    found = run("breaks")
    assert (found.status, found.message) == ("wrong", "This check broke off: ZeroDivisionError: division by zero.")
    assert found.details == {"error": "ZeroDivisionError"}


def test_a_package_that_cannot_be_imported_is_named() -> None:
    found = run("lacks_a_package")
    assert found.status == "wrong" and "facegen_absent" in found.message
    assert found.remedy is not None and "pip install" in found.remedy


def test_an_interrupt_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> CheckResult:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules[__name__], "fine", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("fine")


def test_what_is_ok_has_no_remedy() -> None:
    with pytest.raises(ValueError, match="needs no remedy"):
        CheckResult("ok", "All is well.", "Mend it.")
