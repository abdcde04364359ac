"""The CSV that a learning platform's grade import takes: the columns that a course asks for, one row a student.

What the presets are made after:

- Moodle matches a column that is chosen at the import with the user's ID number, and another with a grade item
  (https://docs.moodle.org/en/Grade_import): any headers will do, and these are Moodle's own words.
- Canvas matches by ``ID``, ``SIS User ID`` or ``SIS Login ID``, and wants ``Student`` and ``Section`` too, empty or not
  (Canvas guide, "How do I import grades in the Gradebook?"). An assignment's column is headed by its name and id, which
  a preset cannot know: give both in the columns.
- Gradescope takes scores from ``results.json`` alone, and has no preset.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from facegen import console
from facegen.errors import InputError
from facegen.grading.leaderboard import Leaderboard, guarded
from facegen.grading.rows import LeaderboardRow, printed

Cell = str | float | int | None

#: The fields that a column can have, by their names.
FIELDS: Mapping[str, Callable[[LeaderboardRow], Cell]] = {
    "student_number": lambda row: row.outcome.student_number,
    "student_name": lambda row: row.student_name,
    "file": lambda row: row.outcome.file,
    "status": lambda row: row.outcome.status,
    "reason": lambda row: row.outcome.rejection.code.value if row.outcome.rejection else None,
    "message": lambda row: _message(row),
    "value": lambda row: printed(row.score) if row.score else None,
    "rank": lambda row: row.rank,
    "passed": lambda row: {True: "yes", False: "no", None: None}[row.passed],
    "points": lambda row: None if row.points is None else f"{row.points:.10g}",
    "points_for": lambda row: " ".join(row.points_for),
    "flags": lambda row: " ".join(flag.name for flag in row.flags),
    "sha256": lambda row: row.outcome.sha256,
    "submitted_at": lambda row: row.outcome.submitted_at.isoformat() if row.outcome.submitted_at else None,
    "empty": lambda row: None,
}
#: What a platform's import takes, by the platform.
PRESETS: Mapping[str, str] = {
    "moodle": "ID number=student_number,Grade=points,Feedback=message",
    "canvas": "Student=student_name,ID=empty,SIS User ID=student_number,SIS Login ID=empty,Section=empty,"
    "facegen=points",
}


@dataclass(frozen=True)
class CsvColumns:
    """Columns of a CSV: headers, and the fields under them."""

    columns: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> CsvColumns:
        """The columns of ``"Header=field,Header=field"``, or of a preset by its name.

        A header with a comma stands in quotes with its field, as in a CSV: ``"Project 1, FID (1234)=points"``.

        Raises:
            InputError: a column without a field, a field that there is not, or a header twice.
        """
        spelt = PRESETS.get(text.strip().lower(), text)
        if "=" not in spelt:
            raise InputError(f"--csv-columns {text!r} is no list of columns{_near(text, PRESETS)}.", _HOW)
        columns: list[tuple[str, str]] = []
        for part in _split(spelt):
            header, equals, name = part.rpartition("=")
            header, name = header.strip(), name.strip()
            if not equals or not header:
                raise InputError(f"The column {part.strip()!r} of --csv-columns has no header and field.", _HOW)
            if name not in FIELDS:
                raise InputError(
                    f"The column {header!r} of --csv-columns has no field {name!r}{_near(name, FIELDS)}.",
                    f"Fields are: {', '.join(FIELDS)}.",
                )
            if header in dict(columns):
                raise InputError(f"The column {header!r} is twice in --csv-columns.", "Give each a header of its own.")
            columns.append((header, name))
        return cls(tuple(columns))

    def to_csv(self, leaderboard: Leaderboard) -> str:
        """The table: one row a student, no baselines, and no cell that can run as a formula.

        Of rows that have one student number the first of the leaderboard's is taken, which is said.
        """
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow([guarded(header) for header, _ in self.columns])
        if "points" in dict(self.columns).values() and all(row.points is None for row in leaderboard.rows):
            console.warn("The grade import has no points: a course's rubric gives them.")
        seen: set[str] = set()
        for row in leaderboard.rows:
            if row.name.casefold() in seen:
                console.warn(f"{row.name} has several rows, and {row.outcome.file} is not in the grade import.")
                continue
            seen.add(row.name.casefold())
            cells = (FIELDS[name](row) for _, name in self.columns)
            writer.writerow(["" if cell is None else guarded(str(cell)) for cell in cells])
        return table.getvalue()


_HOW = f'As: --csv-columns "SIS User ID=student_number,Project 1 (1234)=points"; or a preset: {", ".join(PRESETS)}.'


def _split(text: str) -> list[str]:
    try:
        return next(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as problem:
        raise InputError(f"--csv-columns {text!r} cannot be read: {problem}.", _HOW) from problem


def _near(word: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(word.strip().lower(), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _message(row: LeaderboardRow) -> str:
    """What a student should read: why it is rejected and what to do, or what it scored."""
    if row.outcome.rejection is not None:
        return f"{row.outcome.rejection.message} {row.outcome.rejection.remedy or ''}".strip()
    return "Nothing was handed in." if row.score is None else f"{row.score.label} {row.score.value:.2f}."
