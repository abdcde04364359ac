"""The student number in a file's path, by a regular expression of the course's."""

from __future__ import annotations

import re
from collections.abc import Sequence

from facegen import console
from facegen.errors import InputError
from facegen.printable import printable

#: Characters of a pattern, of a path that it is searched for in, and of a number.
_LONGEST_PATTERN, _LONGEST_PATH, _LONGEST_NUMBER = 200, 300, 64
#: A repeated group that itself repeats, ``(a+)+``, can take longer than a life; and so can what refers back to one.
_REPEATED = re.compile(r"\((?:[^()\\]|\\.)*[*+}](?:[^()\\]|\\.)*\)[*+{]")


class NumberPattern:
    """A regular expression that finds a student number in a path.

    The number is what its group ``number`` matches, else its first group, else the whole match.

    Raises:
        InputError: it is no regular expression, is longer than 200 characters, or repeats what repeats.
    """

    def __init__(self, pattern: str) -> None:
        shown = printable(pattern[:60])
        if len(pattern) > _LONGEST_PATTERN:
            raise InputError(
                f"The number pattern {shown}… has {len(pattern):,} characters, more than {_LONGEST_PATTERN}.",
                r"A short one will do, as \d{8}.",
            )
        if _REPEATED.search(pattern):
            raise InputError(
                f"The number pattern {shown} repeats a group that repeats: it could be searched for without an end.",
                r"Leave the inner or the outer repetition out, as in \d+.",
            )
        try:
            self._pattern = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as problem:
            raise InputError(
                f"The number pattern {shown} is no regular expression: {problem}.", r"One of eight digits is \d{8}."
            ) from problem
        self.text = pattern

    def number_in(self, path: str) -> str | None:
        """The number in a path; None where the pattern finds none, or what no number can be."""
        match = self._pattern.search(path[-_LONGEST_PATH:])
        if match is None:
            return None
        groups = match.groupdict()
        found = groups["number"] if "number" in groups else match[1] if self._pattern.groups else match[0]
        found = (found or "").strip()
        return found if 0 < len(found) <= _LONGEST_NUMBER and found.isprintable() else None

    def require_some(self, paths: Sequence[str], numbers: Sequence[str | None]) -> None:
        """InputError where no path has a number; a warning where some have none."""
        without = [path for path, number in zip(paths, numbers, strict=True) if number is None]
        shown = printable(self.text[:60])
        examples = ", ".join(map(repr, without[:3]))
        if len(without) == len(paths):
            raise InputError(
                f"The number pattern {shown} finds no student number in any path, of which the first are {examples}.",
                "Mend the pattern: it is searched for in the path below the folder, and may have a group.",
            )
        if without:
            console.warn(
                f"The number pattern {shown} finds no student number in {len(without):,} of {len(paths):,} paths: "
                f"{examples}{' and more' if len(without) > 3 else ''}."
            )
