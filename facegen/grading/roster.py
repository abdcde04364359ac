"""The roster: the students who should hand in, read from a CSV.

It tells who handed in nothing, and which numbers are not on the roster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from facegen import console
from facegen.errors import InputError
from facegen.grading.found import some
from facegen.grading.tables import NUMBERS, Line, Table, read_table

#: Numbers as spreadsheets write long numbers, and as other programs write whole ones.
_MANGLED = re.compile(r"\d+([.,]\d+)?e\+?\d+|\d+[.,]0+", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Student:
    """A student on the roster: the number as it is written there, and the name, if the roster has names."""

    number: str
    name: str | None


@dataclass(frozen=True)
class Roster:
    """The students of a course, by their numbers in lower case, in the order of the file."""

    students: Mapping[str, Student]

    def find(self, number: str | None) -> Student | None:
        """Return the student with a number, ignoring case; None if the number is not on the roster."""
        return None if number is None else self.students.get(number.casefold())

    def missing(self, numbers: Iterable[str | None]) -> list[Student]:
        """Return the students whose number is not among the submissions' ``numbers``, in the order of the file."""
        known = {number.casefold() for number in numbers if number is not None}
        return [student for key, student in self.students.items() if key not in known]

    def stranger(self, number: str, missing: Iterable[Student]) -> str:
        """Return a sentence about a number that is not on the roster.

        If exactly one student of ``missing`` has a similar number, the sentence names this student.
        """
        near = [(student, how) for student in missing if (how := _difference(number, student.number))]
        sentence = f"The number {number!r} is not on the roster"
        if len(near) != 1:
            return f"{sentence}."
        student, how = near[0]
        called = "" if student.name is None else f" ({student.name})"
        return f"{sentence}. The number {student.number!r}{called} is on the roster without a submission, and {how}."


def read_roster(path: Path) -> Roster:
    """Read the roster from a CSV.

    The column of student numbers is found by its header; without headers, it is the first column. A column of names is
    optional.

    Raises:
        InputError: The table cannot be read or has no column of numbers, a spreadsheet has changed a number, or a
            number appears twice with different names.
    """
    table = read_table(path, f"The roster {path}")
    column, names, lines = _columns(table)
    students: dict[str, tuple[int, Student]] = {}
    without, twice = [], []
    for line in lines:
        number = line.cell(column)
        name = " ".join(filter(None, map(line.cell, names))) or None
        if not number:
            without.append(f"line {line.number}")
            continue
        require_unchanged(number, line.number, table.what)
        at, known = students.setdefault(number.casefold(), (line.number, Student(number, name)))
        if at != line.number and known.name != name:
            raise InputError(
                f"{table.what} has the number {number!r} in lines {at} and {line.number} with different names.",
                "Keep the right line and delete the other.",
            )
        if at != line.number:
            twice.append(number)
    if without:
        console.warn(f"{table.what} has lines without a student number, which are skipped: {some(without)}.")
    if twice:
        console.warn(f"{table.what} has some numbers more than once. Each counts once: {some(twice)}.")
    if not students:
        raise InputError(f"{table.what} has no students.", "Add a line for each student.")
    return Roster({key: student for key, (_, student) in students.items()})


def require_unchanged(number: str, line: int, what: str) -> None:
    """Raise InputError for a number in the notation of spreadsheets, such as 2.02E+07, because digits are lost."""
    if _MANGLED.fullmatch(number):
        raise InputError(
            f"{what} has the student number {number!r} in line {line}. A spreadsheet has changed it.",
            "Format this column as text, enter the number again, and save the table.",
        )


def _columns(table: Table) -> tuple[int, tuple[int | None, ...], tuple[Line, ...]]:
    """Return the columns of numbers and of names, and the lines below the headers.

    Without headers, these are the first two columns.
    """
    column, names = table.column(NUMBERS), table.names()
    if column is not None:
        return column, names, table.lines[1:]
    heads = ", ".join(map(repr, table.lines[0].cells))
    # A student number usually has a digit. So a first cell without a digit, above others with one, is a header.
    digits = [any(map(str.isdecimal, line.cell(0))) for line in table.lines]
    if any(name is not None for name in names) or (not digits[0] and 2 * sum(digits) >= len(digits)):
        raise InputError(
            f"{table.what} has no column of student numbers among {heads}.", "Rename that column to student_number."
        )
    return 0, (1,), table.lines


def _difference(number: str, other: str) -> str | None:
    """Return how two numbers nearly agree, as the end of a sentence about the second; None if they do not."""
    one, two = number.casefold(), other.casefold()
    if one != two and one.lstrip("0") == two.lstrip("0"):
        return "differs only in zeros at the beginning, which spreadsheets remove"
    if len(one) == len(two):
        apart = [at for at, (a, b) in enumerate(zip(one, two, strict=True)) if a != b]
        if len(apart) == 1:
            return "differs in one character"
        if (
            len(apart) == 2
            and apart[1] == apart[0] + 1
            and one[apart[0]] == two[apart[1]]
            and (one[apart[1]] == two[apart[0]])
        ):
            return "has two neighbouring characters swapped"
        return None
    short, long = sorted((one, two), key=len)
    if len(long) == len(short) + 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long))):
        return f"has one character {'more' if len(two) > len(one) else 'less'}"
    return None
