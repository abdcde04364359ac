"""A course's regular expression that finds the student number in a file's path."""

from __future__ import annotations

import re
from collections.abc import Sequence

from facegen import console
from facegen.errors import InputError
from facegen.printable import printable

#: Maximum number of characters of a pattern, of the searched part of a path, and of a number.
_LONGEST_PATTERN, _LONGEST_PATH, _LONGEST_NUMBER = 200, 300, 64
#: A repeated group that itself repeats, such as ``(a+)+``. Searching for it can take practically forever.
_REPEATED = re.compile(r"\((?:[^()\\]|\\.)*[*+}](?:[^()\\]|\\.)*\)[*+{]")


class NumberPattern:
    """A regular expression that finds a student number in a path.

    The number is the match of the group ``number``, or of the first group, or the whole match.

    Raises:
        InputError: The pattern is not a regular expression, is longer than 200 characters, or repeats a group that
            repeats.
    """

    def __init__(self, pattern: str) -> None:
        shown = printable(pattern[:60])
        if len(pattern) > _LONGEST_PATTERN:
            raise InputError(
                f"The number pattern {shown}… has {len(pattern):,} characters, more than {_LONGEST_PATTERN}.",
                r"Write a shorter one, such as \d{8}.",
            )
        if _REPEATED.search(pattern):
            raise InputError(
                f"The number pattern {shown} repeats a group that itself repeats, so a search could take forever.",
                r"Remove the inner or the outer repetition, as in \d+.",
            )
        try:
            self._pattern = re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as problem:
            raise InputError(
                f"The number pattern {shown} is not a regular expression: {problem}.", r"For eight digits, write \d{8}."
            ) from problem
        self.text = pattern

    def number_in(self, path: str) -> str | None:
        """Return the number in a path; None if the pattern does not match or the match cannot be a number.

        Only the last 300 characters of the path are searched.
        """
        match = self._pattern.search(path[-_LONGEST_PATH:])
        if match is None:
            return None
        groups = match.groupdict()
        found = groups["number"] if "number" in groups else match[1] if self._pattern.groups else match[0]
        found = (found or "").strip()
        return found if 0 < len(found) <= _LONGEST_NUMBER and found.isprintable() else None

    def require_some(self, paths: Sequence[str], numbers: Sequence[str | None]) -> None:
        """Raise InputError if no path has a number, and print a warning if some have none."""
        without = [path for path, number in zip(paths, numbers, strict=True) if number is None]
        shown = printable(self.text[:60])
        examples = ", ".join(map(repr, without[:3]))
        if len(without) == len(paths):
            raise InputError(
                f"The number pattern {shown} finds no student number in any path. The first paths are {examples}.",
                "Correct the pattern. It is searched for in the path below the folder, and it may have a group.",
            )
        if without:
            console.warn(
                f"The number pattern {shown} finds no student number in {len(without):,} of {len(paths):,} paths: "
                f"{examples}{' and more' if len(without) > 3 else ''}."
            )
