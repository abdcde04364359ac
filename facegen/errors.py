"""The errors a user can cause. Each is one sentence that names the file, a remedy, and an exit code.

Names from outside stand in them as they are: :mod:`facegen.console` makes them fit to be shown.
"""

from __future__ import annotations

from facegen.printable import printable


class FacegenError(Exception):
    """An expected failure.

    ``message`` is one sentence that names the file or option at fault; ``remedy``, another that says what to do.
    ``exit_code`` is what the command line ends with (2: wrong usage, bad input or missing environment).
    """

    exit_code = 2

    def __init__(self, message: str, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}" if self.remedy else self.message

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback: the sentences, for whom the code beneath is of no use."""
        return [f"{type(self).__name__}: {printable(str(self))}"]


def in_words(problem: BaseException) -> str:
    """An exception of somebody else's code, to stand in a sentence: its type and what it says, without a full stop.

    What it says in several lines is one line here, as messages are.
    """
    return f"{type(problem).__name__}: {' '.join(str(problem).split())}".rstrip(": .")


class InputError(FacegenError):
    """A file, folder or option value that cannot be used."""


class EnvironmentProblem(FacegenError):
    """Something the machine lacks: weights, a device, disk space, a network."""


class Refused(FacegenError):
    """The work was done and the answer is no (exit code 1)."""

    exit_code = 1
