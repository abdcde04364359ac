"""Doctor: checks that this machine has what facegen needs and computes correctly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import facegen
from facegen import console
from facegen.checks.check import CheckResult
from facegen.checks.table import CHECKS
from facegen.notebook.cards import card, table


@dataclass(frozen=True)
class DoctorResult:
    """The results of the checks, in the order of the table.

    Attributes:
        checks: One result per line.
    """

    checks: tuple[CheckResult, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong. Warnings do not count."""
        return not self.wrong

    @property
    def wrong(self) -> tuple[str, ...]:
        """The names of the checks that found something wrong."""
        return tuple(check.name for check in self.checks if check.status == "wrong")

    def lines(self) -> list[str]:
        """Return one line per check, its remedy below, and a summary."""
        width = max((len(check.name) for check in self.checks), default=0)
        lines = []
        for check in self.checks:
            lines.append(f"{check.status:5}  {check.name:{width}}  {check.message}")
            if check.remedy is not None:
                lines.append(f"{'':5}  {'':{width}}  → {check.remedy}")
        warnings = sum(check.status == "warn" for check in self.checks)
        told = f"{warnings} warning" if warnings == 1 else f"{warnings} warnings"
        return [*lines, "", f"{len(self.checks)} checks: {len(self.wrong)} wrong, {told}."]

    def _repr_html_(self) -> str | None:
        rows = [
            (check.status, check.name, check.message if check.remedy is None else f"{check.message} → {check.remedy}")
            for check in self.checks
        ]
        return card(self.lines()[-1], table(("", "check", "found"), rows))

    def to_json(self) -> dict[str, Any]:
        """Return ``schema``, ``facegen`` (its version), ``ok`` and ``checks``."""
        checks = [check.to_json() for check in self.checks]
        return {"schema": 1, "facegen": facegen.__version__, "ok": self.ok, "checks": checks}


def doctor(*, quick: bool = False) -> DoctorResult:
    """Check this machine: software, GPU, memory, disk, weights, and the correctness of pixels and scores.

    A check that raises an exception is reported as wrong, and the others continue. Nothing is downloaded, and nothing
    is left on the disk.

    Args:
        quick: Skip the comparison with pytorch-fid's score, which takes most of the time.
    """
    results: list[CheckResult] = []
    for check in CHECKS:
        if check.slow and quick:
            continue
        console.detail(f"Checking {check.name}.")
        results += check.run()
    return DoctorResult(tuple(results))
