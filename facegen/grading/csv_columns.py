"""The CSV for the grade import of a learning platform: the columns that a course chooses, one row per student.

The presets follow these imports:

- Moodle matches a column that the teacher chooses at the import with the user's ID number, and another column with a
  grade item (https://docs.moodle.org/en/Grade_import). Any headers work. The preset uses Moodle's own words.
- Canvas matches by ``ID``, ``SIS User ID`` or ``SIS Login ID``. It also requires ``Student`` and ``Section``, which may
  be empty (Canvas guide, "How do I import grades in the Gradebook?"). The header of an assignment's column is its name
  and id. A preset cannot know these, so give the columns yourself.
- Gradescope takes scores only from ``results.json``, so it has no preset.
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

#: The fields of a column, by name.
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
#: The columns that the import of each platform takes.
PRESETS: Mapping[str, str] = {
    "moodle": "ID number=student_number,Grade=points,Feedback=message",
    "canvas": "Student=student_name,ID=empty,SIS User ID=student_number,SIS Login ID=empty,Section=empty,"
    "facegen=points",
}


@dataclass(frozen=True)
class CsvColumns:
    """The columns of a CSV: pairs of a header and the field below it."""

    columns: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> CsvColumns:
        """Parse ``"Header=field,Header=field"``, or the name of a preset.

        Quote a column whose header contains a comma, as in a CSV: ``"Project 1, FID (1234)=points"``.

        Raises:
            InputError: A column has no field or an unknown field, or a header appears twice.
        """
        spelt = PRESETS.get(text.strip().lower(), text)
        if "=" not in spelt:
            raise InputError(f"--csv-columns {text!r} is not a list of columns{_near(text, PRESETS)}.", _HOW)
        columns: list[tuple[str, str]] = []
        for part in _split(spelt):
            header, equals, name = part.rpartition("=")
            header, name = header.strip(), name.strip()
            if not equals or not header:
                raise InputError(f"The column {part.strip()!r} of --csv-columns lacks a header or a field.", _HOW)
            if name not in FIELDS:
                raise InputError(
                    f"The column {header!r} of --csv-columns has an unknown field, {name!r}{_near(name, FIELDS)}.",
                    f"Use one of: {', '.join(FIELDS)}.",
                )
            if header in dict(columns):
                raise InputError(f"--csv-columns has the column {header!r} twice.", "Give each column its own header.")
            columns.append((header, name))
        return cls(tuple(columns))

    def to_csv(self, leaderboard: Leaderboard) -> str:
        """Return the CSV text: one row per student, no baselines, and no cell that a spreadsheet runs as a formula.

        If several rows have the same student number, only the first one on the leaderboard is taken, and a warning
        says so.
        """
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow([guarded(header) for header, _ in self.columns])
        if "points" in dict(self.columns).values() and all(row.points is None for row in leaderboard.rows):
            console.warn("The grade import has no points. Give a rubric with --points.")
        seen: set[str] = set()
        for row in leaderboard.rows:
            if row.name.casefold() in seen:
                console.warn(
                    f"{row.name} has several rows. {row.outcome.file} is left out of the grade import. "
                    "Use --policy to choose which submission counts."
                )
                continue
            seen.add(row.name.casefold())
            cells = (FIELDS[name](row) for _, name in self.columns)
            writer.writerow(["" if cell is None else guarded(str(cell)) for cell in cells])
        return table.getvalue()


_HOW = f'Write --csv-columns "SIS User ID=student_number,Project 1 (1234)=points", or a preset: {", ".join(PRESETS)}.'


def _split(text: str) -> list[str]:
    try:
        return next(csv.reader([text], skipinitialspace=True, strict=True))
    except csv.Error as problem:
        raise InputError(f"--csv-columns {text!r} cannot be read: {problem}.", _HOW) from problem


def _near(word: str, known: Mapping[str, object]) -> str:
    near = get_close_matches(word.strip().lower(), known, n=1)
    return f" (did you mean {near[0]!r}?)" if near else ""


def _message(row: LeaderboardRow) -> str:
    """Return the text for the student: the reason for a rejection and the remedy, or the score."""
    if row.outcome.rejection is not None:
        return f"{row.outcome.rejection.message} {row.outcome.rejection.remedy or ''}".strip()
    return "Nothing was handed in." if row.score is None else f"{row.score.label} {row.score.value:.2f}."
