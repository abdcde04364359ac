"""A class's rows and what they were measured against, rendered as JSON, CSV and HTML."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import Any

from facegen.grading.rows import LeaderboardRow, printed
from facegen.printable import printable

SCHEMA = 1
_COLUMNS = (
    "rank",
    "student_number",
    "file",
    "status",
    "reason",
    "message",
    "metric",
    "extractor",
    "value",
    "n",
    "passed",
    "flags",
    "sha256",
)
#: A cell that starts so is run as a formula by spreadsheets; East Asian ones know the wide signs too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: Where cells are split at semicolons, as in much of Europe, another cell begins behind each.
_FORMULA_BEHIND = re.compile(rf';(?=[\s"]*[{re.escape("".join(_FORMULA))}])')


@dataclass(frozen=True)
class Leaderboard:
    """All rows in order, and what they were measured against.

    Attributes:
        rows: the graded by rising value, then the rejected by file name.
        reference: ``name``, ``n`` (None where it is unknown) and ``sha256`` of the reference.
        description: the measure in words.
        target: the value to stay below; None where there is none.
        notice: what the whole class should know of the measure; None where there is nothing.
        baselines: what the staff measures beside the class, by rising value; in no rank. A baseline's name is its
            outcome's ``file``.
        private: ``name``, ``n`` and ``sha256`` of the private reference and ``measure``, the measure in words; None
            where there is none.
        ranked_by: ``"public"`` or ``"private"``: by which value the rows are in order.
    """

    rows: tuple[LeaderboardRow, ...]
    reference: dict[str, Any]
    description: str
    target: float | None
    notice: str | None = None
    baselines: tuple[LeaderboardRow, ...] = ()
    private: dict[str, Any] | None = None
    ranked_by: str = "public"

    @property
    def graded(self) -> tuple[LeaderboardRow, ...]:
        return tuple(row for row in self.rows if row.outcome.graded is not None)

    @property
    def missing(self) -> tuple[LeaderboardRow, ...]:
        return tuple(row for row in self.rows if row.outcome.status == "missing")

    @property
    def rejected(self) -> tuple[LeaderboardRow, ...]:
        return tuple(row for row in self.rows if row.outcome.rejection is not None)

    def to_json(self) -> dict[str, Any]:
        """The object of ``leaderboard.json`` and ``facegen grade --json``."""
        return {
            "schema": SCHEMA,
            "reference": self.reference,
            "measure": self.description,
            "target": self.target,
            "notice": self.notice,
            "submissions": [row.to_json() for row in self.rows],
        }

    def to_csv(self) -> str:
        """A table for spreadsheets; no cell of it can run as a formula, and all that is in it can be seen."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_COLUMNS)
        for row in self.rows:
            outcome, score, rejection = row.outcome, row.score, row.outcome.rejection
            cells = [
                row.rank,
                outcome.student_number,
                outcome.file,
                outcome.status,
                rejection.code.value if rejection else None,
                rejection.message if rejection else None,
                score.metric if score else None,
                score.extractor if score else None,
                printed(score) if score else None,
                score.n if score else None,
                {True: "yes", False: "no", None: None}[row.passed],
                " ".join(flag.name for flag in row.flags),
                outcome.sha256,
            ]
            writer.writerow(["" if cell is None else guarded(str(cell)) for cell in cells])
        return table.getvalue()

    def to_html(self) -> str:
        """A page that stands alone: styles and contact sheets are in it, and nothing is fetched."""
        from facegen.grading.page import render

        return render(self)


def guarded(cell: str) -> str:
    """``cell`` fit to be seen, and behind a ' where a spreadsheet would run it, or what follows a semicolon in it."""
    cell = _FORMULA_BEHIND.sub(";'", cell)
    return f"'{printable(cell)}" if cell.lstrip().startswith(_FORMULA) or cell.startswith(_FORMULA) else printable(cell)
