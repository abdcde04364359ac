"""The roster: who should have handed in, from a CSV; who did not, and whose number is not on it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from facegen import console
from facegen.errors import InputError
from facegen.grading.found import some
from facegen.grading.tables import NUMBERS, Line, Table, read_table

#: What spreadsheets make of long numbers, and other programs of whole ones.
_MANGLED = re.compile(r"\d+([.,]\d+)?e\+?\d+|\d+[.,]0+", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Student:
    """Someone on the roster: the number as it is written there, and the name where there is one."""

    number: str
    name: str | None


@dataclass(frozen=True)
class Roster:
    """The students of a course, by their numbers in lower case, in the order of the file."""

    students: Mapping[str, Student]

    def find(self, number: str | None) -> Student | None:
        """The student of a number, upper and lower case counting as one; None where none is on the roster."""
        return None if number is None else self.students.get(number.casefold())

    def missing(self, numbers: Iterable[str | None]) -> list[Student]:
        """Those of whom none of the submissions' ``numbers`` is, in the order of the file."""
        known = {number.casefold() for number in numbers if number is not None}
        return [student for key, student in self.students.items() if key not in known]

    def stranger(self, number: str, missing: Iterable[Student]) -> str:
        """A sentence on a number that is not on the roster.

        It names the one student of ``missing`` whose number is nearly it, where there is exactly one.
        """
        near = [(student, how) for student in missing if (how := _difference(number, student.number))]
        sentence = f"The number {number!r} is not on the roster"
        if len(near) != 1:
            return f"{sentence}."
        student, how = near[0]
        called = "" if student.name is None else f" ({student.name})"
        return f"{sentence}; {student.number!r}{called}, who is on it and handed in nothing, {how}."


def read_roster(path: Path) -> Roster:
    """The roster in a CSV: a column of student numbers, known by its head or else the first, and one of names perhaps.

    Raises:
        InputError: no such table; no column of numbers; a number that a spreadsheet changed, or that is there twice
            with two names.
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
                f"{table.what} has the number {number!r} in lines {at} and {line.number}, with two names.",
                "Keep the right one.",
            )
        if at != line.number:
            twice.append(number)
    if without:
        console.warn(f"{table.what} has lines without a student number, which are passed over: {some(without)}.")
    if twice:
        console.warn(f"{table.what} has some numbers more than once, which count once: {some(twice)}.")
    if not students:
        raise InputError(f"{table.what} has no student in it.", "It should have a line for each.")
    return Roster({key: student for key, (_, student) in students.items()})


def require_unchanged(number: str, line: int, what: str) -> None:
    """InputError for a number as spreadsheets write it for numerals, like 2.02E+07: the digits are lost."""
    if _MANGLED.fullmatch(number):
        raise InputError(
            f"{what} has in line {line} the student number {number!r}, which a spreadsheet changed.",
            "Let its column be text, and save the table again.",
        )


def _columns(table: Table) -> tuple[int, tuple[int | None, ...], tuple[Line, ...]]:
    """The columns of numbers and of names, and the lines below the heads; the first two columns without heads."""
    column, names = table.column(NUMBERS), table.names()
    if column is not None:
        return column, names, table.lines[1:]
    heads = ", ".join(map(repr, table.lines[0].cells))
    # A number has a digit, mostly; so a first cell without one, above others with one, is a head.
    digits = [any(map(str.isdecimal, line.cell(0))) for line in table.lines]
    if any(name is not None for name in names) or (not digits[0] and 2 * sum(digits) >= len(digits)):
        raise InputError(
            f"{table.what} has no column of student numbers among {heads}.", "Call that column student_number."
        )
    return 0, (1,), table.lines


def _difference(number: str, other: str) -> str | None:
    """How two numbers are nearly the same, to follow the second in a sentence; None where they are not."""
    one, two = number.casefold(), other.casefold()
    if one != two and one.lstrip("0") == two.lstrip("0"):
        return "differs by zeros at the beginning, which spreadsheets drop"
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
            return "has two neighbours swapped"
        return None
    short, long = sorted((one, two), key=len)
    if len(long) == len(short) + 1 and any(long[:at] + long[at + 1 :] == short for at in range(len(long))):
        return f"has one character {'more' if len(two) > len(one) else 'less'}"
    return None
