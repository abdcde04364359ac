"""What a check is, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal

from facegen.errors import FacegenError, in_words

Status = Literal["ok", "warn", "wrong"]


@dataclass(frozen=True)
class CheckResult:
    """What a check found.

    Attributes:
        status: ``"ok"``; ``"warn"`` where facegen works, but slower or with less than it could have; ``"wrong"`` where
            something fails or gives wrong results.
        message: one sentence.
        remedy: another that says what to do; None where there is nothing to do, as where all is ``"ok"``.
        details: the same in numbers and words for a program, as JSON takes them.
        name: the first word of its line. Its :class:`Check` fills it in where the function did not.
    """

    status: Status
    message: str
    remedy: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    name: str = ""

    def __post_init__(self) -> None:
        if self.status == "ok" and self.remedy is not None:
            raise ValueError(f"what is ok needs no remedy: {self.remedy}")

    def to_json(self) -> dict[str, Any]:
        """``name``, ``status``, ``message``, ``remedy`` and ``details``."""
        return {
            "name": self.name,
            "status": self.status,
            "message": self.message,
            "remedy": self.remedy,
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class Check:
    """An entry of the table of checks.

    Attributes:
        name: short and lower-case; the first word of its line.
        function: ``"module:function"``, which looks and says what it found: a :class:`CheckResult`, or a list of them
            with names. It is loaded when it runs, so that a package that cannot be imported is a finding, too.
        slow: it takes more than about a second, and ``--quick`` leaves it out.
    """

    name: str
    function: str
    slow: bool = False

    def run(self) -> list[CheckResult]:
        """What the function found. What it raises is a finding too: ``"wrong"``, with the error's words."""
        module, _, name = self.function.partition(":")
        found: CheckResult | list[CheckResult]
        try:
            found = getattr(import_module(module), name)()
        except FacegenError as problem:
            found = CheckResult("wrong", problem.message, problem.remedy)
        except ImportError as problem:
            found = CheckResult(
                "wrong",
                f"A package cannot be imported: {problem}".rstrip(".") + ".",
                "Install facegen and what it requires again: pip install --force-reinstall facegen",
                {"error": type(problem).__name__},
            )
        except Exception as problem:  # noqa: BLE001
            # Whatever is broken on this machine may raise anything, and finding out what is broken is what a check
            # is for. The others must run all the same: a bug report needs them.
            found = CheckResult(
                "wrong",
                f"This check broke off: {in_words(problem)}.",
                "Report it with this output, if the error names nothing that you can repair.",
                {"error": type(problem).__name__},
            )
        results = [found] if isinstance(found, CheckResult) else found
        return [replace(result, name=result.name or self.name) for result in results]
