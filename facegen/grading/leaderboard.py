"""The leaderboard: the rows of a class and the reference, rendered as JSON, CSV and HTML."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from facegen.grading.rows import EXTRAS, METRICS, LeaderboardRow, printed
from facegen.printable import printable

if TYPE_CHECKING:
    from facegen.grading.evidence import Album

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
    "interval_low",
    "interval_high",
    "floor",
    "private_value",
    *METRICS,
    "points",
    "points_for",
    "tied_with",
    "attempts",
    "student_name",
    "submitted_at",
)
#: Characters at the start of a cell that make a spreadsheet run it as a formula. East Asian ones know the wide signs
#: too.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
#: A semicolon begins another cell in spreadsheets that split at semicolons, as in much of Europe.
_FORMULA_BEHIND = re.compile(rf';(?=[\s"]*[{re.escape("".join(_FORMULA))}])')


@dataclass(frozen=True)
class Leaderboard:
    """All rows in order, and the reference that they were measured against.

    Attributes:
        rows: The graded submissions by rising value, then the rejected ones by file name.
        reference: ``name``, ``n`` (None if it is unknown) and ``sha256`` of the reference.
        description: The measure in words.
        target: The value to stay below; None if there is none.
        notice: What the whole class should know about the measure; None if there is nothing.
        baselines: What the staff measures beside the class, by rising value and without ranks. The name of a baseline
            is the ``file`` of its outcome.
        private: ``name``, ``n`` and ``sha256`` of the private reference, and ``measure``, the measure in words; None if
            there is no private reference.
        ranked_by: The value that decides the order of the rows, ``"public"`` or ``"private"``.
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
        """Return the object of ``leaderboard.json`` and of ``facegen grade --json``.

        Keys that only some courses have (:data:`facegen.grading.rows.EXTRAS`) appear in all rows if any row has them,
        and in no row otherwise. ``baselines``, ``private`` and ``ranked_by`` also appear only if the course has them.
        """
        extras = tuple(
            key for key in EXTRAS if any(row.extra(key) not in (None, [], ()) for row in (*self.rows, *self.baselines))
        )
        value: dict[str, Any] = {
            "schema": SCHEMA,
            "reference": self.reference,
            "measure": self.description,
            "target": self.target,
            "notice": self.notice,
            "submissions": [row.to_json(extras) for row in self.rows],
        }
        if self.baselines:
            value["baselines"] = [{**row.to_json(extras), "status": "baseline"} for row in self.baselines]
        if self.private is not None:
            value |= {"private": self.private, "ranked_by": self.ranked_by}
        return value

    def to_csv(self) -> str:
        """Return a table for spreadsheets. No cell runs as a formula, and no cell has invisible characters."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_COLUMNS)
        rows = [(row, row.outcome.status) for row in self.rows] + [(row, "baseline") for row in self.baselines]
        for row, status in rows:
            writer.writerow(["" if cell is None else guarded(str(cell)) for cell in _cells(row, status)])
        return table.getvalue()

    def to_html(self, album: Album | None = None) -> str:
        """Return a self-contained page: styles, script and pictures are inside, and nothing is fetched.

        Args:
            album: The pictures. Without an album, no known images are shown beside a submission's images.
        """
        from facegen.grading.page import render

        return render(self, album)


def _cells(row: LeaderboardRow, status: str) -> list[Any]:
    """Return the cells of a row in the order of the columns; an empty cell is None."""
    outcome, score, rejection = row.outcome, row.score, row.outcome.rejection
    low, high = (None, None) if score is None or score.interval95 is None else score.interval95
    return [
        row.rank,
        outcome.student_number,
        outcome.file,
        status,
        rejection.code.value if rejection else None,
        rejection.message if rejection else None,
        score.metric if score else None,
        score.extractor if score else None,
        printed(score) if score else None,
        score.n if score else None,
        {True: "yes", False: "no", None: None}[row.passed],
        " ".join(flag.name for flag in row.flags),
        outcome.sha256,
        _fixed(low),
        _fixed(high),
        _fixed(score.floor if score else None),
        printed(row.private) if row.private else None,
        *(f"{row.metrics[key]:.6f}" if key in row.metrics else None for key in METRICS),
        None if row.points is None else f"{row.points:.2f}",
        " ".join(row.points_for),
        " ".join(row.tied_with),
        len(row.attempts) or None,
        row.student_name,
        None if outcome.submitted_at is None else outcome.submitted_at.isoformat(),
    ]


def _fixed(value: float | None) -> str | None:
    return None if value is None else f"{value:.4f}"


def guarded(cell: str) -> str:
    """Return ``cell`` with visible characters only, and with a ' before each part that would run as a formula."""
    cell = _FORMULA_BEHIND.sub(";'", cell)
    return f"'{printable(cell)}" if cell.lstrip().startswith(_FORMULA) or cell.startswith(_FORMULA) else printable(cell)
