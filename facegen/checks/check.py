"""A check of ``facegen doctor`` and its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal

from facegen.errors import FacegenError, in_words

Status = Literal["ok", "warn", "wrong"]


@dataclass(frozen=True)
class CheckResult:
    """The result of a check.

    Attributes:
        status: ``"ok"``; ``"warn"`` if facegen works, but more slowly or with less than it could have; ``"wrong"`` if
            something fails or gives wrong results.
        message: One sentence.
        remedy: One sentence that says what to do. None if there is nothing to do, as for ``"ok"``.
        details: The same information for a program, as values that JSON can hold.
        name: The name of the line. :class:`Check` fills it in if the function does not.
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
        """Return ``name``, ``status``, ``message``, ``remedy`` and ``details``."""
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
        name: The name of the line, short and in lower case.
        function: ``"module:function"``. The function returns a :class:`CheckResult`, or a list of named ones. It is
            imported when it runs, so that a package that cannot be imported is a result too.
        slow: Whether it takes more than about a second, so that ``--quick`` skips it.
    """

    name: str
    function: str
    slow: bool = False

    def run(self) -> list[CheckResult]:
        """Run the function. An exception becomes a result of status ``"wrong"`` with the exception's message."""
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
            # On a broken machine a check can raise anything, and finding out what is broken is its purpose. The other
            # checks must still run, because a bug report needs them.
            found = CheckResult(
                "wrong",
                f"This check broke off: {in_words(problem)}.",
                "Report it with this output, if the error names nothing that you can repair.",
                {"error": type(problem).__name__},
            )
        results = [found] if isinstance(found, CheckResult) else found
        return [replace(result, name=result.name or self.name) for result in results]
