"""The errors that a user can cause. Each has a sentence that names the file, a remedy, and an exit code.

Names from outside appear in them unchanged. :mod:`facegen.console` makes them printable.
"""

from __future__ import annotations

from facegen.printable import printable


class FacegenError(Exception):
    """An expected failure.

    Attributes:
        message: One sentence that names the file or option at fault.
        remedy: One sentence that says what to do.
        exit_code: The exit code of the command line: 2 for wrong usage, bad input or a missing requirement.
    """

    exit_code = 2

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else self.message

    def _render_traceback_(self) -> list[str]:
        """Give IPython the sentences to show in place of a traceback, which would not help the user."""
        return [f"{type(self).__name__}: {printable(str(self))}"]


def in_words(problem: BaseException) -> str:
    """Describe an exception within a sentence: its type and message, on one line, without a full stop."""
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}".rstrip(": .")


class InputError(FacegenError):
    """A file, folder or option value that cannot be used."""


class EnvironmentProblem(FacegenError):
    """Something that the machine lacks: weights, a device, disk space or a network."""


class Refused(FacegenError):
    """The work was done, and the answer is no (exit code 1)."""

    exit_code = 1
