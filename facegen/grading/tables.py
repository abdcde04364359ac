"""Tables saved from a spreadsheet or a learning platform: rosters, and the times of submissions."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from facegen.data.text import text_of
from facegen.errors import InputError
from facegen.file_kinds import HEAD, TEXT, kind_of
from facegen.files import read_regular

#: Maximum size of a table, in bytes. The table of a class of a thousand has 100 kB.
_MOST_BYTES = 20_000_000
_SAVE_AS_CSV = "Save it as CSV. In Excel, choose 'CSV UTF-8 (comma delimited)'."
#: The first line that Excel writes to name the separator between cells.
_SEPARATOR = re.compile(r"sep=(.)\s*", re.IGNORECASE)
#: Headers of columns with student numbers, the surest first. Spaces and punctuation are written as _ here.
NUMBERS = (
    *("student_number", "studentnumber", "student_no", "student_nr", "student_id", "studentid", "matriculation_number"),
    *("matriculation", "matrikelnummer", "matrikelnr", "matr_nr", "학번", "学号", "學號", "学籍番号"),
    *("id_number", "sis_user_id", "sid", "number", "no", "username", "user_name", "login", "id"),
)
NAMES = ("name", "student_name", "full_name", "fullname", "display_name", "student", "이름", "성명", "姓名", "氏名")
_FIRST, _LAST = ("first_name", "firstname", "given_name"), ("last_name", "lastname", "surname", "family_name")


@dataclass(frozen=True)
class Line:
    """A line that is not empty: its number in the file, and its cells, with any white space replaced by one space."""

    number: int
    cells: tuple[str, ...]

    def cell(self, column: int | None) -> str:
        """Return the cell of a column; "" if the line has no such cell or ``column`` is None."""
        return self.cells[column] if column is not None and column < len(self.cells) else ""


@dataclass(frozen=True)
class Table:
    """All lines of a table.

    Attributes:
        what: The name of the table in messages: ``"The roster r.csv"``.
        lines: All lines in order, including the line of headers if there is one.
    """

    what: str
    lines: tuple[Line, ...]

    @property
    def heads(self) -> tuple[str, ...]:
        """The cells of the first line, written as headers are compared: in lower case, with _ between words."""
        return tuple(re.sub(r"[\s_.\-/()#*:]+", "_", cell.casefold()).strip("_") for cell in self.lines[0].cells)

    def column(self, known: Sequence[str]) -> int | None:
        """Return the column whose header comes first in ``known``; None if there is none.

        Raises:
            InputError: Two columns have this header.
        """
        heads = self.heads
        for head in known:
            if heads.count(head) > 1:
                raise InputError(f"{self.what} has two columns called {head!r}.", "Delete or rename one of them.")
            if head in heads:
                return heads.index(head)
        return None

    def names(self) -> tuple[int | None, ...]:
        """Return the columns that make up a student's name: one, or those of the first and the last name."""
        whole = self.column(NAMES)
        return (whole,) if whole is not None else (self.column(_FIRST), self.column(_LAST))


def read_table(path: Path, what: str) -> Table:
    """Read a table whose cells are separated by commas, semicolons or tabs, in UTF-8 or UTF-16.

    Raises:
        InputError: The file cannot be read, is not a table, or is empty.
    """
    try:
        data = read_regular(path, _MOST_BYTES)
    except OSError as problem:
        raise InputError(f"{what} cannot be read: {problem.strerror or problem}.") from problem
    kind = kind_of(data[:HEAD])
    text = text_of(data)
    if text is None:
        is_kind = kind is not None and kind is not TEXT
        said = f"is {kind.name}, not a table" if kind is not None and is_kind else "is not text in UTF-8 or UTF-16"
        raise InputError(f"{what} {said}.", _SAVE_AS_CSV)
    lines = tuple(_lines(text, what))
    if not lines:
        raise InputError(f"{what} is empty.", "Add a line for each student.")
    return Table(what, lines)


def _lines(text: str, what: str) -> Iterator[Line]:
    first, _, rest = text.partition("\n")
    said = _SEPARATOR.fullmatch(first)
    skipped = 1 if said else 0
    body = rest if said else text
    rows = csv.reader(io.StringIO(body, newline=""), delimiter=said[1] if said else _delimiter(body), strict=True)
    before = skipped
    try:
        for cells in rows:
            number, before = before + 1, skipped + rows.line_num
            stripped = tuple(" ".join(cell.split()) for cell in cells)  # a cell may contain line breaks
            if any(stripped):
                yield Line(number, stripped)
    except csv.Error as problem:  # for example, a quote that is never closed
        raise InputError(f"{what} is not a CSV: {problem}, from line {before + 1} on.", _SAVE_AS_CSV) from problem


def _delimiter(text: str) -> str:
    """Return the separator: of comma, semicolon and tab, the most frequent in the first line that has one of them."""
    for line in text.splitlines():
        bare = re.sub(r'"[^"]*"', "", line)
        if counts := {mark: bare.count(mark) for mark in "\t;," if mark in bare}:
            return max(counts, key=lambda mark: counts[mark])
    return ","
